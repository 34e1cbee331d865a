/* Every bound on what comes from outside, in one place. Over a limit is an error, never a cut. */
#pragma once

enum {
	ZT_KEY_LEN = 32,  /* Ed25519 public key, seed, Curve25519 key, preshared key */
	ZT_SIG_LEN = 64,  /* Ed25519 signature */
	ZT_HASH_LEN = 32, /* BLAKE2b-256 */
	ZT_NAME_MAX = 63, /* device, tag, group, resource, rule ... (RFC 1123 label for devices) */
	ZT_EMAIL_MAX = 254,	     /* RFC 5321 4.5.3.1.3 */
	ZT_WHY_MAX = 500,	     /* reason given for a change */
	ZT_URL_MAX = 200,	     /* the controller's URL */
	ZT_TOKEN_TEXT_MAX = 640,     /* zt1_... and ztadm1_... */
	ZT_TAGS_MAX = 32,	     /* tags on one device */
	ZT_PEERS_MAX = 10000,	     /* peers in one netmap */
	ZT_GRANTS_MAX = 65536,	     /* grants in one netmap */
	ZT_RULES_MAX = 10000,	     /* rules in one policy and so in one netmap */
	ZT_CONDITIONS_MAX = 16384,   /* programs and accounts in one policy and so in one netmap */
	ZT_CONDITION_NAME_MAX = 127, /* path or name of a program, name of an account */
	ZT_ACCOUNT_MAX = 32,	     /* name of an account: as useradd(8) */
	ZT_ENDPOINTS_PEER_MAX = 8,   /* candidate endpoints of one device */
	ZT_NETMAP_MAX = 16 << 20,    /* bytes of one encoded netmap message */
	ZT_MERKLE_DEPTH_MAX = 24,    /* 16 million messages under one signature */
	ZT_FACTS_MAX = 256,	     /* facts in one report */
	ZT_FACT_NAME_MAX = 160,	     /* "file.sha256:" and a path */
	ZT_FACT_VALUE_MAX = 256,
	ZT_REPORT_MAX = 64 << 10, /* bytes of one encoded report */
	ZT_MISTAKES_MORE_MAX =
		10000,		  /* of one policy that are counted, and not said: then it ends */
	ZT_POLICY_MAX = 50 << 20, /* bytes of one policy file */
	ZT_FRAME_MAX = ZT_NETMAP_MAX + (4 << 10), /* bytes of one frame on the stream */
	ZT_ADVICE_MAX = 256 << 10, /* bytes of one advice frame (JSON for the talking role) */
};

enum {
	ZT_LEASE_DEFAULT_S = 3600,
	ZT_LEASE_MIN_S = 5,
	ZT_LEASE_MAX_S = 86400,
	ZT_CLOCK_SKEW_MAX_S = 300, /* how far a device's wall clock may be off */
	ZT_CERT_LIFE_S = 86400,	   /* device certificate, renewed from half-life */
	ZT_SESSION_LIFE_S = 3600,  /* a device session, never past its certificate */
	ZT_CHALLENGE_LIFE_S = 30,
	ZT_TOKEN_LIFE_S = 3600,
	ZT_REPORT_INTERVAL_S = 300,	/* full report though nothing changed */
	ZT_FACT_MAX_AGE_S = 900,	/* default max_age of a posture profile */
	ZT_KEEPALIVE_S = 25,		/* stream keepalive from the controller */
	ZT_PLACE_KEPT_S = 60,		/* where a device was counts so long after its stream */
	ZT_ADDRESS_REST_S = 30 * 86400, /* before an overlay address is used again */
};

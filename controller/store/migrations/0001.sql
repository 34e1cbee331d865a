-- The controller's memory, first form. Every column is NOT NULL unless "not yet" is a fact of its own.
-- Times end in _s (Unix seconds) or _ms. Sets of names are JSON arrays, sorted, so that equal sets are equal text.

-- What was decided at init and never changes, and where the search for a free overlay address starts.
CREATE TABLE network (
	one INTEGER PRIMARY KEY CHECK (one = 1),
	name TEXT NOT NULL,
	url TEXT NOT NULL,
	net4 TEXT NOT NULL, -- "100.64.0.0/10", "" when not used
	net6 TEXT NOT NULL,
	next_address INTEGER NOT NULL
) STRICT;

CREATE TABLE admin (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	name TEXT NOT NULL,
	secret_hash BLOB NOT NULL CHECK (length(secret_hash) = 32),
	created_s INTEGER NOT NULL
) STRICT;

CREATE TABLE user (
	email TEXT PRIMARY KEY,
	groups TEXT NOT NULL,
	disabled INTEGER NOT NULL CHECK (disabled IN (0, 1))
) STRICT, WITHOUT ROWID;

CREATE TABLE token (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	name TEXT NOT NULL,
	secret_hash BLOB NOT NULL CHECK (length(secret_hash) = 32),
	user TEXT NOT NULL, -- "" when tags alone own what it enrols
	tags TEXT NOT NULL,
	uses INTEGER NOT NULL CHECK (uses > 0),
	uses_left INTEGER NOT NULL CHECK (uses_left BETWEEN 0 AND uses),
	approve INTEGER NOT NULL CHECK (approve IN (0, 1)),
	revoked INTEGER NOT NULL CHECK (revoked IN (0, 1)),
	created_s INTEGER NOT NULL,
	expires_s INTEGER NOT NULL,
	CHECK (user <> '' OR tags <> '[]')
) STRICT;

CREATE TABLE device (
	id INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id BETWEEN 1 AND 4294967295),
	name TEXT NOT NULL,
	owner TEXT NOT NULL,
	tags TEXT NOT NULL,
	identity BLOB NOT NULL CHECK (length(identity) = 32),
	wg_key BLOB NOT NULL CHECK (length(wg_key) = 32),
	address INTEGER NOT NULL, -- index in net4 and in net6: the addresses follow from it
	state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 3), -- enum device_state; 2 is revoked
	created_s INTEGER NOT NULL,
	released_s INTEGER, -- when it was revoked; its address rests from then on
	token INTEGER NOT NULL REFERENCES token (id),
	-- kept by store_touch, not part of the change log:
	cert_not_after_s INTEGER NOT NULL,
	last_seen_s INTEGER NOT NULL DEFAULT 0,
	serial INTEGER NOT NULL DEFAULT 0,
	version TEXT NOT NULL DEFAULT '',
	os TEXT NOT NULL DEFAULT '',
	CHECK (owner <> '' OR tags <> '[]'),
	CHECK ((state = 2) = (released_s IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX device_name ON device (name) WHERE state <> 2;
CREATE UNIQUE INDEX device_address_held ON device (address) WHERE state <> 2;
CREATE INDEX device_address ON device (address);
CREATE INDEX device_token ON device (token);

-- Every key that any device ever had, of both kinds: none of them serves a second time.
CREATE TABLE device_key (
	key BLOB PRIMARY KEY CHECK (length(key) = 32),
	device INTEGER NOT NULL REFERENCES device (id)
) STRICT, WITHOUT ROWID;

CREATE TABLE device_report (
	device INTEGER PRIMARY KEY REFERENCES device (id),
	at_ms INTEGER NOT NULL,
	report BLOB NOT NULL
) STRICT;

CREATE TABLE policy (
	version INTEGER PRIMARY KEY,
	author TEXT NOT NULL,
	why TEXT NOT NULL,
	at_s INTEGER NOT NULL,
	hash BLOB NOT NULL CHECK (length(hash) = 32), -- BLAKE2b-256 of text
	text BLOB NOT NULL
) STRICT;

-- The change log. hash covers all other columns (audit.c). before is "" where a record changes no row.
CREATE TABLE record (
	seq INTEGER PRIMARY KEY,
	at_ms INTEGER NOT NULL,
	actor TEXT NOT NULL,
	kind TEXT NOT NULL,
	object TEXT NOT NULL,
	why TEXT NOT NULL,
	source TEXT NOT NULL,
	before TEXT NOT NULL,
	after TEXT NOT NULL,
	prev BLOB NOT NULL CHECK (length(prev) = 32),
	hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE INDEX record_at ON record (at_ms);
CREATE INDEX record_object ON record (object, seq) WHERE before <> '';

-- The log's end, kept apart from it, so that cutting records off is seen.
CREATE TABLE head (
	one INTEGER PRIMARY KEY CHECK (one = 1),
	seq INTEGER NOT NULL,
	records INTEGER NOT NULL,
	hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
INSERT INTO head VALUES (1, 0, 0, zeroblob(32));

-- Guards against our own mistakes (whoever edits the file can drop them; the hash chain is for him).
CREATE TRIGGER record_is_final BEFORE UPDATE ON record BEGIN SELECT RAISE(ABORT, 'records are final'); END;
CREATE TRIGGER record_stays BEFORE DELETE ON record BEGIN SELECT RAISE(ABORT, 'records stay'); END;
CREATE TRIGGER device_stays BEFORE DELETE ON device BEGIN SELECT RAISE(ABORT, 'devices stay'); END;
CREATE TRIGGER device_key_stays BEFORE DELETE ON device_key BEGIN SELECT RAISE(ABORT, 'keys stay'); END;
CREATE TRIGGER policy_is_final BEFORE UPDATE ON policy BEGIN SELECT RAISE(ABORT, 'policies are final'); END;
CREATE TRIGGER policy_stays BEFORE DELETE ON policy BEGIN SELECT RAISE(ABORT, 'policies stay'); END;

PRAGMA application_id = 0x7a746462; -- "ztdb"
PRAGMA user_version = 1;

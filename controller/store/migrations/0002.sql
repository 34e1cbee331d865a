-- Policies that are put with a way back, and what a version means against the one before it.

-- What a version changes, as a JSON object for people; "" when nobody said.
ALTER TABLE policy ADD COLUMN changes TEXT NOT NULL DEFAULT '';

-- Versions that were put on trial. In force is the newest version but canaries that were not promoted; an open trial
-- is over when there is a newer version.
CREATE TABLE trial (
	version INTEGER PRIMARY KEY REFERENCES policy (version),
	state INTEGER NOT NULL CHECK (state BETWEEN 1 AND 4), -- enum trial_state
	base INTEGER NOT NULL REFERENCES policy (version) CHECK (base < version), -- what holds without it
	until_ms INTEGER NOT NULL, -- it goes back to base then, unless it is confirmed; 0: a canary
	percent INTEGER NOT NULL CHECK (percent BETWEEN 0 AND 99), -- canary: of the devices
	CHECK ((until_ms > 0 AND percent = 0) OR (until_ms = 0 AND percent > 0))
) STRICT;
CREATE TRIGGER trial_stays BEFORE DELETE ON trial BEGIN SELECT RAISE(ABORT, 'trials stay'); END;

PRAGMA user_version = 2;

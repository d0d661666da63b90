-- A turn does not start while an earlier one of its session is under way: claims look for these, however long the session is.
CREATE INDEX turns_unfinished ON turns (session_id) WHERE finished_at IS NULL;

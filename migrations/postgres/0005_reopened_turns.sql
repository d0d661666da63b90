-- An operator may have a failed task answered anew. The ids of the replays that did so: each replay reopens a task once,
-- however often and in whatever order the bus delivers its events.
ALTER TABLE turns ADD COLUMN reopened_by uuid[] NOT NULL DEFAULT '{}';

-- An operator may have a failed task answered anew. The id of the replay that did so: each replay reopens a task once.
ALTER TABLE turns ADD COLUMN reopened_by uuid;

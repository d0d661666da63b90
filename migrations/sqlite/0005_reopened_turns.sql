-- An operator may have a failed task answered anew. The ids of the replays that did so, apart by blanks: each replay reopens a
-- task once, however often and in whatever order the bus delivers its events.
ALTER TABLE turns ADD COLUMN reopened_by TEXT;

-- The mark of an operator's redrive, JSON: of this subscription alone, so not in the event that all of them share.
ALTER TABLE bus_deliveries ADD COLUMN replay TEXT;
ALTER TABLE bus_dead_letters ADD COLUMN replay TEXT;

-- What this data folder is: one row.
CREATE TABLE instance (
    only_row   INTEGER PRIMARY KEY NOT NULL CHECK (only_row = 1),
    id_secret  BLOB    NOT NULL, -- keys the owner's tag in every id
    created_at INTEGER NOT NULL  -- milliseconds since 1970, as all times here
) STRICT;

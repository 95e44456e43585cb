-- Never edit a migration that was released: add another one.

-- Failed tries: when each account and each address, called by digests, will have paid for all of
-- them (the generic cell rate algorithm). Bounded, and rows have no meaning after that moment.
CREATE TABLE pinyto_failures (
    subject BLOB    NOT NULL PRIMARY KEY CHECK (length(subject) = 16),
    paid_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

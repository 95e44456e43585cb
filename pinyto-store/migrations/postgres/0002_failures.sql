-- Never edit a migration that was released: add another one.

-- Failed tries: when each account and each address, called by digests, will have paid for all of
-- them (the generic cell rate algorithm). Bounded, and rows have no meaning after that moment.
-- Unlogged: who guesses fills no write-ahead log, and nothing is lost but counts if PostgreSQL
-- crashes. The rows change often; with room on the page no index has to.
CREATE UNLOGGED TABLE pinyto.failures (
    subject bytea  NOT NULL PRIMARY KEY CHECK (length(subject) = 16),
    paid_at bigint NOT NULL
) WITH (fillfactor = 70);

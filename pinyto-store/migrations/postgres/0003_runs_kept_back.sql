-- Never edit a migration that was released: add another one.

-- Of whom nothing was recorded with a writer's last batch, because they were busy: so that the same
-- is told when it comes again. Servers that don't know the column wait for everybody.
ALTER TABLE pinyto.run_writers ADD COLUMN kept_back bigint[] NOT NULL DEFAULT '{}';

-- The hosts that an assembly's code may fetch from, as a JSON array; NULL: any.
ALTER TABLE pinyto_assemblies ADD COLUMN http_hosts TEXT;

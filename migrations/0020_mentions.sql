-- Finds the entries of the audit log that mention somebody: whoever is to be erased.

-- The ids that an entry mentions. Concatenating is only called stable because of types that are not these.
create function mentioned(object_id text, before jsonb, after jsonb) returns uuid[] language sql immutable parallel safe as $$
    select array(select found[1]::uuid
                 from regexp_matches(concat_ws(' ', object_id, before, after),
                                     '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}', 'g') found)
$$;

create index audit_log_mentioned on audit_log using gin (mentioned(object_id, before, after));

-- Of a session that is cancelled nobody counts by a mark that comes later, also if somebody corrected their row before and
-- took that back. What a person decided stays.
create or replace function cancelled_voids() returns trigger language plpgsql as $$
begin
    if (select state from sessions where id = new.session_id) = 'cancelled'
       and coalesce((select kind from corrections where session_id = new.session_id and person_id = new.person_id
                     order by ordinal desc limit 1), 'restore') = 'restore' then
        insert into corrections (id, session_id, person_id, kind, reason, status_before, by_name)
        values (gen_random_uuid(), new.session_id, new.person_id, 'void', 'the session was cancelled', new.status, 'rollcall');
    end if;
    return null;
end
$$;

-- Live views are told of a mark that does not count any more because nothing is left of it: what was marked by hand alone, and
-- taken back. Without status, as nothing counts. Whoever is erased goes without a word.
create function feed_register_gone() returns trigger language plpgsql as $$
begin
    insert into feed (kind, site_id, room_id, person_id, payload)
    select 'mark', o.site_id, o.room_id, o.person_id,
           jsonb_build_object('session_id', o.session_id, 'person_id', o.person_id, 'name', p.name, 'room_id', o.room_id,
                              'course_id', o.course_id, 'status', null, 'source', null, 'arrived_at', null, 'camera', null,
                              'event_id', null)
    from stale o join people p on p.id = o.person_id;
    return null;
end
$$;

-- By name before those of the tallies, as the other two.
create trigger register_told_gone after delete on register referencing old table as stale
    for each statement execute function feed_register_gone();

-- What a batch writes is told in the order in which it was written: rows that were joined come out as the planner likes.

create or replace function feed_register() returns trigger language plpgsql as $$
begin
    insert into feed (kind, site_id, room_id, person_id, payload)
    select 'mark', n.site_id, n.room_id, n.person_id,
           jsonb_build_object('session_id', n.session_id, 'person_id', n.person_id,
                              'name', (select name from people where id = n.person_id), 'room_id', n.room_id,
                              'course_id', n.course_id, 'status', n.status, 'source', n.source, 'arrived_at', n.arrived_at,
                              'camera', n.camera, 'event_id', n.event_id)
    from fresh n;
    return null;
end
$$;

create or replace function feed_events() returns trigger language plpgsql as $$
begin
    insert into feed (kind, site_id, room_id, person_id, payload)
    select 'sighting', (select site_id from rooms where rooms.id = e.room), e.room, e.person_id,
           jsonb_build_object('event_id', e.id, 'kind', e.kind, 'camera', e.camera, 'room_id', e.room, 'direction', e.direction,
                              'person_id', e.person_id, 'name', (select name from people where id = e.person_id),
                              'captured_at', e.captured_at, 'liveness', e.liveness, 'similarity', e.similarity)
    from fresh e;
    return null;
end
$$;

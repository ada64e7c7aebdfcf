-- The feed: what live views are told, in the order of the commits, for as long as a view may have been away.

create table feed (
    id        bigint generated always as identity primary key,
    at        timestamptz not null default clock_timestamp(),
    -- mark, sighting, review, camera, session
    kind      text        not null,
    site_id   text,
    room_id   text,
    person_id uuid,
    payload   jsonb       not null
);

create index feed_at on feed (at);

-- How far it was forgotten.
create table feed_state (
    one       boolean primary key default true check (one),
    pruned_to bigint  not null default 0
);

insert into feed_state default values;

-- An id is given out before its transaction commits. One writer at a time, so that whoever has read up to an id has
-- missed none below it.
create function feed_in_order() returns trigger language plpgsql as $$
begin
    perform pg_advisory_xact_lock(hashtextextended('rollcall.feed', 0));
    perform pg_notify('rollcall_feed', '');
    return null;
end
$$;

create trigger feed_ordered before insert on feed for each statement execute function feed_in_order();

create function feed_register() returns trigger language plpgsql as $$
begin
    insert into feed (kind, site_id, room_id, person_id, payload)
    select 'mark', n.site_id, n.room_id, n.person_id,
           jsonb_build_object('session_id', n.session_id, 'person_id', n.person_id, 'name', p.name, 'room_id', n.room_id,
                              'course_id', n.course_id, 'status', n.status, 'source', n.source, 'arrived_at', n.arrived_at,
                              'camera', n.camera, 'event_id', n.event_id)
    from fresh n join people p on p.id = n.person_id;
    return null;
end
$$;

create trigger register_told_new after insert on register referencing new table as fresh
    for each statement execute function feed_register();
create trigger register_told_changed after update on register referencing new table as fresh
    for each statement execute function feed_register();

create function feed_events() returns trigger language plpgsql as $$
begin
    insert into feed (kind, site_id, room_id, person_id, payload)
    select 'sighting', (select site_id from rooms where rooms.id = e.room), e.room, e.person_id,
           jsonb_build_object('event_id', e.id, 'kind', e.kind, 'camera', e.camera, 'room_id', e.room, 'direction', e.direction,
                              'person_id', e.person_id, 'name', p.name, 'captured_at', e.captured_at, 'liveness', e.liveness,
                              'similarity', e.similarity)
    from fresh e left join people p on p.id = e.person_id;
    return null;
end
$$;

create trigger events_told after insert on events referencing new table as fresh
    for each statement execute function feed_events();

create function feed_reviews() returns trigger language plpgsql as $$
begin
    insert into feed (kind, site_id, room_id, payload)
    select 'review', (select site_id from rooms where rooms.id = r.room), r.room,
           jsonb_build_object('event_id', r.event_id, 'kind', r.kind, 'camera', r.camera, 'room_id', r.room,
                              'captured_at', r.captured_at, 'status', r.status)
    from fresh r;
    return null;
end
$$;

create trigger reviews_told_new after insert on review_items referencing new table as fresh
    for each statement execute function feed_reviews();
create trigger reviews_told_changed after update on review_items referencing new table as fresh
    for each statement execute function feed_reviews();

create function feed_sessions() returns trigger language plpgsql as $$
begin
    insert into feed (kind, site_id, room_id, payload)
    values ('session', (select site_id from rooms where rooms.id = new.room_id), new.room_id,
            jsonb_build_object('session_id', new.id, 'room_id', new.room_id, 'course_id', new.course_id, 'name', new.name,
                               'state', new.state, 'starts_at', new.starts_at, 'ends_at', new.ends_at));
    return null;
end
$$;

-- Those that are planned ahead tell nothing: they come by the hundred, for weeks to come.
create trigger sessions_told_new after insert on sessions for each row when (new.origin = 'one_off')
    execute function feed_sessions();
create trigger sessions_told after update on sessions for each row
    when ((old.state, old.starts_at, old.ends_at, old.room_id) is distinct from (new.state, new.starts_at, new.ends_at, new.room_id))
    execute function feed_sessions();

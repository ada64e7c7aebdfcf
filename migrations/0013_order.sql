-- Who waits for whom, and what is told: corrections of what came before.

-- When a mark was made or seen again, by the database's clock, as `sessions.settled_at`.
alter table marks add column changed_at timestamptz;
alter table marks alter column changed_at set default clock_timestamp();
create index marks_changed on marks ((coalesce(changed_at, recorded_at)));
drop index marks_recorded;

-- Finds events and reviews by a candidate: whoever is to be erased.
create index events_candidates on events using gin (candidates jsonb_path_ops);
create index review_items_candidates on review_items using gin (candidates jsonb_path_ops);

-- Live views are told of a review when it is open or decided, not when its picture goes or its stranger is recognised.
create function feed_reviews_changed() returns trigger language plpgsql as $$
begin
    insert into feed (kind, site_id, room_id, payload)
    select 'review', (select site_id from rooms where rooms.id = r.room), r.room,
           jsonb_build_object('event_id', r.event_id, 'kind', r.kind, 'camera', r.camera, 'room_id', r.room,
                              'captured_at', r.captured_at, 'status', r.status)
    from fresh r join stale s using (event_id) where r.status <> s.status;
    return null;
end
$$;
drop trigger reviews_told_changed on review_items;
create trigger reviews_told_changed after update on review_items referencing old table as stale new table as fresh
    for each statement execute function feed_reviews_changed();

-- Closing by hand is told at once, not when its absences are written.
drop trigger sessions_told on sessions;
create trigger sessions_told after update on sessions for each row
    when ((old.state, old.starts_at, old.ends_at, old.room_id, old.closed_at)
          is distinct from (new.state, new.starts_at, new.ends_at, new.room_id, new.closed_at))
    execute function feed_sessions();

-- What makes an occurrence of a line that was none before: nobody knew of it until now, and nobody is absent from what was
-- over by then (timetable_entries.changed_at).
create function entries_changed() returns trigger language plpgsql as $$
begin
    if tg_table_name = 'courses' then
        update timetable_entries set changed_at = clock_timestamp() where course_id = new.id;
    elsif tg_table_name = 'holidays' then
        update timetable_entries set changed_at = clock_timestamp()
            where course_id in (select id from courses where site_id = old.site_id);
    elsif tg_op = 'DELETE' then
        update timetable_entries set changed_at = clock_timestamp() where id = old.entry_id;
    else
        update timetable_entries set changed_at = clock_timestamp() where id = new.entry_id;
    end if;
    return null;
end
$$;
create trigger courses_are_back after update on courses for each row
    when (old.archived_at is not null and new.archived_at is null) execute function entries_changed();
create trigger holidays_are_gone after delete on holidays for each row execute function entries_changed();
create trigger exceptions_change after insert or update or delete on timetable_exceptions for each row
    execute function entries_changed();

-- In a session that is cancelled nobody is present, also when their mark comes later.
create function cancelled_voids() returns trigger language plpgsql as $$
begin
    if (select state from sessions where id = new.session_id) = 'cancelled' then
        insert into corrections (id, session_id, person_id, kind, reason, status_before, by_name)
        select gen_random_uuid(), new.session_id, new.person_id, 'void', 'the session was cancelled', new.status, 'rollcall'
        where not exists (select from corrections where session_id = new.session_id and person_id = new.person_id);
    end if;
    return null;
end
$$;
create trigger marks_of_a_cancelled_session after insert on marks for each row execute function cancelled_voids();

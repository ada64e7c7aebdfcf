-- The register: for each person and session what counts now. Derived, by triggers, from three sources that are never
-- overwritten: the mark (what a camera saw), the finding (what closing the session made of it), the corrections (what
-- people decided).

-- What closing a session found: who was absent, came too late or went too early. At most one for each person and session.
create table findings (
    session_id   uuid        not null references sessions on delete cascade,
    person_id    uuid        not null references people on delete cascade,
    -- absent: not seen, seen too late or too short. attended: seen, with something to remark.
    verdict      text        not null check (verdict in ('absent', 'attended')),
    -- not_seen, too_late, too_short, left_early
    reason       text        not null,
    minutes_present real,
    found_at     timestamptz not null default now(),
    primary key (session_id, person_id)
);

create index findings_person on findings (person_id);

create table corrections (
    id          uuid primary key,
    session_id  uuid        not null references sessions,
    person_id   uuid        not null references people on delete cascade,
    -- excuse, present, late, absent: that is what counts now. void: nothing counts. restore: as if never corrected.
    kind        text        not null check (kind in ('excuse', 'present', 'late', 'absent', 'void', 'restore')),
    reason      text        not null check (length(reason) between 1 and 1000),
    -- Null: there was no row.
    status_before text,
    by_id       uuid,
    by_name     text        not null,
    at          timestamptz not null default clock_timestamp(),
    -- The review item that it settles.
    review_event_id uuid,
    ordinal     bigint generated always as identity
);

create index corrections_place on corrections (session_id, person_id, ordinal);
create index corrections_person on corrections (person_id);

create function corrections_are_kept() returns trigger language plpgsql as $$
begin
    raise exception 'corrections are never changed: make another one' using errcode = 'insufficient_privilege';
end
$$;

create trigger corrections_kept before update on corrections for each row execute function corrections_are_kept();

create table register (
    session_id   uuid        not null references sessions,
    person_id    uuid        not null references people on delete cascade,
    -- Copied from the session, so that a query reads one table.
    site_id      text        not null,
    room_id      text        not null,
    course_id    uuid,
    starts_at    timestamptz not null,
    local_date   date        not null,
    -- void rows count nowhere and are shown only on request.
    status       text        not null check (status in ('present', 'late', 'absent', 'excused', 'off_roster', 'off_schedule', 'void')),
    -- camera, closing, correction
    source       text        not null,
    reason       text,
    arrived_at   timestamptz,
    left_at      timestamptz,
    -- From the session's start to the arrival; negative: early. Null without a timetable.
    minutes_from_start real,
    left_early   boolean     not null default false,
    -- The event behind the mark, if a camera made it.
    event_id     uuid,
    camera       text,
    similarity   real,
    updated_at   timestamptz not null default clock_timestamp(),
    version      bigint      not null default 1,
    primary key (session_id, person_id)
);

create index register_person on register (person_id, starts_at desc, session_id);
create index register_room on register (room_id, starts_at desc, session_id, person_id);
create index register_course on register (course_id, starts_at desc, session_id, person_id) where course_id is not null;
create index register_site on register (site_id, starts_at desc, session_id, person_id);
create index register_time on register (starts_at desc, session_id, person_id);

-- Derives the register's row of one person in one session anew.
create function register_refresh(the_session uuid, the_person uuid) returns void language plpgsql as $$
declare
    s record;
    m record;
    f record;
    c record;
    new_status text;
    new_source text;
    new_reason text;
begin
    select id, room_id, course_id, starts_at, local_date, kind,
           (select site_id from rooms where rooms.id = sessions.room_id) as site_id
        into s from sessions where id = the_session;
    if not found then return; end if;
    -- Somebody who was deleted leaves nothing behind.
    perform from people where id = the_person;
    if not found then return; end if;
    loop
        -- Whoever changes the row holds it until their commit, and each statement below sees what was committed before:
        -- of a mark and a correction at the same time the later refresh knows both.
        perform from register where session_id = the_session and person_id = the_person for update;
        select status, captured_at, first_seen_at, last_exit_at, last_seen_at, event_id, camera, similarity into m
            from marks where session_id = the_session and person_id = the_person and session_date = s.local_date;
        select verdict, reason into f from findings where session_id = the_session and person_id = the_person;
        select kind, reason into c from corrections where session_id = the_session and person_id = the_person
            order by ordinal desc limit 1;
        if c.kind is not null and c.kind <> 'restore' then
            new_source := 'correction';
            new_reason := c.reason;
            new_status := case c.kind when 'excuse' then 'excused' else c.kind end;
        elsif f.verdict = 'absent' and (m.status is null or f.reason <> 'not_seen') then
            new_source := 'closing';
            new_reason := f.reason;
            new_status := 'absent';
        elsif m.status is not null then
            new_source := 'camera';
            new_reason := case when f.verdict = 'attended' then f.reason end;
            new_status := m.status;
        else
            delete from register where session_id = the_session and person_id = the_person;
            return;
        end if;
        update register set
            site_id = s.site_id, room_id = s.room_id, course_id = s.course_id, starts_at = s.starts_at,
            local_date = s.local_date, status = new_status, source = new_source, reason = new_reason,
            arrived_at = m.first_seen_at, left_at = m.last_exit_at,
            minutes_from_start = case when s.kind = 'timetabled' then extract(epoch from m.first_seen_at - s.starts_at) / 60 end,
            left_early = coalesce(f.reason = 'left_early', false), event_id = m.event_id, camera = m.camera,
            similarity = m.similarity, updated_at = clock_timestamp(), version = register.version + 1
            where session_id = the_session and person_id = the_person;
        if found then return; end if;
        insert into register (session_id, person_id, site_id, room_id, course_id, starts_at, local_date, status, source, reason,
                              arrived_at, left_at, minutes_from_start, left_early, event_id, camera, similarity)
        values (s.id, the_person, s.site_id, s.room_id, s.course_id, s.starts_at, s.local_date, new_status, new_source,
                new_reason, m.first_seen_at, m.last_exit_at,
                case when s.kind = 'timetabled' then extract(epoch from m.first_seen_at - s.starts_at) / 60 end,
                coalesce(f.reason = 'left_early', false), m.event_id, m.camera, m.similarity)
        on conflict (session_id, person_id) do nothing;
        if found then return; end if;
        -- Somebody else made it in the meantime: look again.
    end loop;
end
$$;

create function register_follows() returns trigger language plpgsql as $$
begin
    perform register_refresh(new.session_id, new.person_id);
    return null;
end
$$;

create trigger marks_made after insert on marks for each row execute function register_follows();
create trigger marks_seen_again after update on marks for each row
    when ((old.status, old.first_seen_at, old.last_exit_at) is distinct from (new.status, new.first_seen_at, new.last_exit_at))
    execute function register_follows();
create trigger findings_made after insert or update on findings for each row execute function register_follows();
create trigger corrections_made after insert on corrections for each row execute function register_follows();

create function findings_gone() returns trigger language plpgsql as $$
begin
    perform register_refresh(old.session_id, old.person_id);
    return null;
end
$$;

create trigger findings_unmade after delete on findings for each row execute function findings_gone();

-- What was marked before there was a register.
do $$
declare
    mark record;
begin
    for mark in select session_id, person_id from marks loop
        perform register_refresh(mark.session_id, mark.person_id);
    end loop;
end
$$;

-- Who decided a review item, and how.
alter table review_items drop constraint review_items_kind_check;
alter table review_items
    add constraint review_items_kind_check check (kind in ('unknown', 'ambiguous', 'spoof', 'undecided')),
    add column person_id    uuid references people on delete set null,
    add column decided_by   text,
    add column decided_at   timestamptz,
    add column note         text check (length(note) <= 1000),
    -- The face, sealed, where strangers are told apart (privacy.cluster_unknown); erased with the crop.
    add column sealed_embedding bytea,
    add column model_id     text,
    -- The stranger it is taken for.
    add column visitor_id   uuid,
    add column version      bigint not null default 1;

create index review_items_time on review_items (captured_at desc, event_id);
create index review_items_room on review_items (room, captured_at desc);

-- Strangers who come again. A pseudonym, and nothing but it: the faces stay with their review items.
create table visitors (
    id            uuid primary key,
    first_seen_at timestamptz not null,
    last_seen_at  timestamptz not null,
    sightings     integer     not null default 1
);

alter table review_items add constraint review_items_visitor foreign key (visitor_id) references visitors on delete set null;
create index review_items_visitor_index on review_items (visitor_id) where visitor_id is not null;

-- How each camera did, minute by minute: with the events, the answer to why somebody was not recorded. Kept as long as events.
create table camera_minutes (
    camera      text        not null,
    room        text        not null,
    minute      timestamptz not null,
    -- Frames in which faces were searched, and faces found in them.
    frames      bigint      not null,
    faces       bigint      not null,
    -- Faces that were left out, by reason.
    refused     jsonb       not null default '{}',
    -- How long there were pictures, and else why not.
    up_ms       bigint      not null check (up_ms between 0 and 60000),
    down_reason text,
    primary key (camera, minute)
);

create index camera_minutes_room on camera_minutes (room, minute);
create index events_room on events (room, captured_at);

-- What is expected: courses (or shifts), who is enrolled in them, when they meet, and the sessions that follow from it.

create table courses (
    id          uuid primary key,
    site_id     text        not null references sites,
    name        text        not null check (length(name) between 1 and 200),
    code        text        check (length(code) between 1 and 200),
    -- Account of whoever teaches it, unless a session names another.
    teacher_id  uuid        references accounts on delete set null,
    -- Rules, in seconds; null: as configured for the whole installation. attendance::CourseRules.
    early_s        integer check (early_s between 0 and 43200),
    grace_s        integer check (grace_s between 0 and 43200),
    leave_s        integer check (leave_s between 0 and 43200),
    early_exit_s   integer check (early_exit_s between 0 and 43200),
    min_presence_percent integer check (min_presence_percent between 0 and 100),
    absent_after_s integer check (absent_after_s between 0 and 43200),
    archived_at timestamptz,
    created_at  timestamptz not null default now(),
    version     bigint      not null default 1,
    unique (site_id, code)
);

create table enrolments (
    course_id  uuid not null references courses on delete cascade,
    person_id  uuid not null references people on delete cascade,
    -- First and last local date; null: always.
    valid_from date,
    valid_to   date check (valid_to >= valid_from),
    primary key (course_id, person_id)
);

create index enrolments_person on enrolments (person_id);

create table timetable_entries (
    id         uuid primary key,
    course_id  uuid not null references courses on delete cascade,
    room_id    text not null references rooms,
    -- ISO: 1 is Monday.
    weekdays   smallint[] not null check (cardinality(weekdays) between 1 and 7 and weekdays <@ '{1,2,3,4,5,6,7}'::smallint[]),
    starts     time not null,
    -- At or before `starts`: on the next day.
    ends       time not null,
    valid_from date,
    valid_to   date check (valid_to >= valid_from),
    created_at timestamptz not null default now(),
    -- Sessions that were over by then are not made up afterwards: nobody is absent from what nobody knew of.
    changed_at timestamptz not null default now(),
    version    bigint not null default 1
);

create index timetable_entries_course on timetable_entries (course_id);
create index timetable_entries_room on timetable_entries (room_id);

create table holidays (
    site_id text not null references sites on delete cascade,
    date    date not null,
    name    text not null check (length(name) between 1 and 200),
    primary key (site_id, date)
);

-- One occurrence of an entry that is not as the others.
create table timetable_exceptions (
    entry_id  uuid not null references timetable_entries on delete cascade,
    date      date not null,
    kind      text not null check (kind in ('cancelled', 'moved')),
    new_date  date,
    new_starts time,
    new_ends  time,
    note      text check (length(note) <= 1000),
    check ((kind = 'moved') = (new_date is not null and new_starts is not null and new_ends is not null)),
    primary key (entry_id, date)
);

alter table sessions
    -- file: of the configuration file, or made by a mark (a day, off schedule). timetable: made ahead from an entry.
    -- one_off: by hand.
    add column origin     text not null default 'file' check (origin in ('file', 'timetable', 'one_off')),
    -- Somebody set its room or time by hand: its timetable leaves it alone.
    add column fixed      boolean not null default false,
    add column name       text check (length(name) between 1 and 200),
    add column course_id  uuid references courses,
    -- Null for one-off sessions and for those of the configuration file.
    add column entry_id   uuid references timetable_entries on delete set null,
    -- Who stands in for the course's teacher.
    add column substitute_id uuid references accounts on delete set null,
    -- planned: it opens and closes by the clock. open: it was opened by hand. closed: its absences are written. cancelled.
    add column state      text not null default 'planned' check (state in ('planned', 'open', 'closed', 'cancelled')),
    add column early_s    integer check (early_s between 0 and 43200),
    add column grace_s    integer check (grace_s between 0 and 43200),
    add column leave_s    integer check (leave_s between 0 and 43200),
    -- When it was opened and closed by hand.
    add column opened_at  timestamptz,
    add column closed_at  timestamptz,
    -- When its absences were written.
    add column settled_at timestamptz,
    -- Why absences are not written yet although it is over: [{"camera": …, "reason": …}]. Of a closed session: what was not
    -- waited for any longer.
    add column waits_for  jsonb,
    add column note       text check (length(note) <= 1000),
    add column created_at timestamptz not null default now(),
    add column version    bigint not null default 1;

create index sessions_course on sessions (course_id, starts_at) where course_id is not null;
create index sessions_time on sessions (starts_at, id);
create index sessions_to_close on sessions (ends_at) where state in ('planned', 'open');

-- Who is expected in a one-off session, or one of the configuration file. Others expect whoever is enrolled in their course
-- on their date.
create table session_people (
    session_id uuid not null references sessions on delete cascade,
    person_id  uuid not null references people on delete cascade,
    primary key (session_id, person_id)
);

create index session_people_person on session_people (person_id);

-- Who is expected in which session.
create view expected_people as
    select s.id as session_id, e.person_id
    from sessions s join enrolments e on e.course_id = s.course_id
    where coalesce(e.valid_from, s.local_date) <= s.local_date and coalesce(e.valid_to, s.local_date) >= s.local_date
      and not exists (select from session_people p where p.session_id = s.id)
    union all
    select session_id, person_id from session_people;

-- Up to when a camera is known to have delivered: written by the daemon every few seconds.
create table camera_deliveries (
    camera_id       text primary key,
    room_id         text        not null,
    delivered_until timestamptz,
    -- Null while it delivers.
    offline_reason  text,
    offline_since   timestamptz,
    updated_at      timestamptz not null default now()
);
-- Whatever changes who is expected where, or which cameras there are, is told to every daemon at commit.
create function places_changed() returns trigger language plpgsql as $$
begin
    perform pg_notify('rollcall_places', '');
    return null;
end
$$;

create trigger sites_changed after insert or update or delete on sites for each statement execute function places_changed();
create trigger rooms_changed after update or delete on rooms for each statement execute function places_changed();
create trigger cameras_changed after insert or update or delete on cameras for each statement execute function places_changed();
create trigger courses_changed after insert or update or delete on courses for each statement execute function places_changed();
create trigger enrolments_changed after insert or update or delete on enrolments for each statement execute function places_changed();
create trigger timetable_entries_changed after insert or update or delete on timetable_entries for each statement execute function places_changed();
create trigger timetable_exceptions_changed after insert or update or delete on timetable_exceptions for each statement execute function places_changed();
create trigger holidays_changed after insert or update or delete on holidays for each statement execute function places_changed();
create trigger session_people_changed after insert or update or delete on session_people for each statement execute function places_changed();
-- Not when a mark makes its session: that changes nothing for anybody.
create trigger sessions_made after insert on sessions for each row when (new.origin <> 'file') execute function places_changed();
create trigger sessions_moved after update on sessions for each row
    when (new.origin <> 'file' and
          (old.state = 'cancelled', old.starts_at, old.ends_at, old.room_id, old.early_s, old.grace_s, old.leave_s, old.opened_at, old.closed_at)
          is distinct from
          (new.state = 'cancelled', new.starts_at, new.ends_at, new.room_id, new.early_s, new.grace_s, new.leave_s, new.opened_at, new.closed_at))
    execute function places_changed();
create trigger sessions_gone after delete on sessions for each row when (old.origin <> 'file') execute function places_changed();

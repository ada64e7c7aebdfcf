-- What the product is for: one row for each person and session.

-- A room is named by configuration; its row is made when it is first needed.
create table rooms (
    id         text primary key check (length(id) between 1 and 200),
    created_at timestamptz not null default now()
);

create table sessions (
    -- Derived from room, date, start and name of the timetable's entry: every process computes the same.
    id         uuid primary key,
    room_id    text        not null references rooms,
    -- timetabled; day (a room without timetable marks once a day); off_schedule (outside of the timetable).
    kind       text        not null check (kind in ('timetabled', 'day', 'off_schedule')),
    starts_at  timestamptz not null,
    ends_at    timestamptz not null check (ends_at > starts_at),
    -- The room's own date at the start. In UTC a late session would fall on the next day.
    local_date date        not null,
    -- What the foreign key of `marks` points to.
    unique (id, local_date)
);

create index sessions_room_time on sessions (room_id, starts_at);

-- Partitioned by month, so that retention drops a table instead of deleting rows one by one. The primary key of a
-- partitioned table must contain the partition's column; the foreign key makes `session_date` a function of the session,
-- and so the primary key says just this: one row for each session and person, whatever the program does.
create table marks (
    session_id      uuid        not null,
    person_id       uuid        not null references people on delete cascade,
    session_date    date        not null,
    status          text        not null check (status in ('present', 'late', 'off_roster', 'off_schedule')),
    -- When the deciding picture was taken, and how well that is known; when the row was written. Never mixed up: the
    -- first counts, the last tells how long the database was away.
    captured_at     timestamptz not null,
    time_source     text        not null,
    recorded_at     timestamptz not null default clock_timestamp(),
    -- The event that made the mark, in `events` for as long as that is kept.
    event_id        uuid        not null,
    camera          text        not null,
    direction       text        check (direction in ('entry', 'exit')),
    -- The evidence.
    similarity      real        not null,
    margin          real        not null,
    shots           integer     not null,
    gallery_version bigint      not null,
    model_id        text        not null,
    liveness        text        not null check (liveness in ('live', 'spoof', 'undecided')),
    liveness_score  real,
    -- How often the person was seen in this session, from when to when.
    sightings       integer     not null default 1,
    first_seen_at   timestamptz not null,
    last_seen_at    timestamptz not null,
    last_exit_at    timestamptz,
    primary key (session_id, person_id, session_date),
    foreign key (session_id, session_date) references sessions (id, local_date)
) partition by range (session_date);

create index marks_person on marks (person_id, session_date);
create index marks_recorded on marks (recorded_at);

-- A clock that is years off must not lose a mark: what fits nowhere goes here.
create table marks_default partition of marks default;

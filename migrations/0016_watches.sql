-- What was watched, so that nobody is absent whom no camera could have seen, and nobody knows it.

-- From when to when a camera had pictures without a break, and all that it saw is written. Added to by the daemon every few
-- seconds. Between two of a camera nobody saw who came.
create table camera_watches (
    camera_id text        not null,
    room_id   text        not null,
    since     timestamptz not null,
    until     timestamptz not null check (until >= since),
    -- Why there were no pictures before.
    away_for  text,
    primary key (camera_id, since)
);

create index camera_watches_room on camera_watches (room_id, until);
create index camera_watches_until on camera_watches (until);

-- When somebody decided that its absences wait for no camera.
alter table sessions add column released_at timestamptz;

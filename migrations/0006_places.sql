-- Where: sites, rooms, cameras, and who may see which of them.

create table sites (
    id         text primary key check (length(id) between 1 and 40),
    name       text        not null check (length(name) between 1 and 200),
    -- IANA name.
    time_zone  text        not null,
    -- file: the [site] section of the configuration; the API leaves it alone.
    managed_by text        not null default 'api' check (managed_by in ('api', 'file')),
    created_at timestamptz not null default now(),
    version    bigint      not null default 1
);

-- The site of the configuration file: everything that names no other belongs to it.
insert into sites (id, name, time_zone, managed_by) values ('main', 'Rollcall', 'UTC', 'file');

alter table rooms
    add column site_id    text   not null default 'main' references sites,
    add column name       text   check (length(name) between 1 and 200),
    add column time_zone  text,
    add column managed_by text   not null default 'file' check (managed_by in ('api', 'file')),
    add column version    bigint not null default 1;

create index rooms_site on rooms (site_id);

create table cameras (
    id         text primary key check (length(id) between 1 and 40),
    room_id    text        not null references rooms,
    name       text        not null check (length(name) between 1 and 200),
    enabled    boolean     not null default true,
    -- The keys of a [[cameras]] table of the configuration, without what has a column here. One check for both.
    settings   jsonb       not null,
    -- User and password. Write-only.
    sealed_credentials bytea,
    created_at timestamptz not null default now(),
    version    bigint      not null default 1
);

create index cameras_room on cameras (room_id);

-- Where an account or a key that is not allowed everywhere may look: a whole site or one room.
create table grants (
    holder_id uuid not null,
    site_id   text references sites on delete cascade,
    room_id   text references rooms on delete cascade,
    check ((site_id is null) <> (room_id is null))
);

create unique index grants_site on grants (holder_id, site_id) where site_id is not null;
create unique index grants_room on grants (holder_id, room_id) where room_id is not null;

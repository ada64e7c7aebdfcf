-- More about people: groups, attributes, consent, and where a template came from.

alter table people
    add column attributes jsonb  not null default '{}' check (jsonb_typeof(attributes) = 'object'),
    add column version    bigint not null default 1;

create index people_created on people (created_at, id);

create table groups (
    id         uuid primary key,
    name       text        not null unique check (length(name) between 1 and 200),
    created_at timestamptz not null default now(),
    version    bigint      not null default 1
);

create table group_members (
    group_id  uuid not null references groups on delete cascade,
    person_id uuid not null references people on delete cascade,
    primary key (group_id, person_id)
);

create index group_members_person on group_members (person_id);

alter table templates
    -- picture, camera, review, folder
    add column source text not null default 'folder',
    -- What the quality gates measured: {"eye_distance_px": 61.2, …}. No picture is kept.
    add column report jsonb;

-- A consent is never changed, only withdrawn.
create table consents (
    id           uuid primary key,
    person_id    uuid        not null references people on delete cascade,
    text_version text        not null check (length(text_version) between 1 and 200),
    -- Who gave it: the person, or for example a parent.
    given_by     text        not null check (length(given_by) between 1 and 200),
    given_at     timestamptz not null,
    recorded_by  text        not null,
    recorded_at  timestamptz not null default now(),
    withdrawn_at timestamptz,
    withdrawn_recorded_by text
);

create index consents_person on consents (person_id);
create unique index consents_in_force on consents (person_id) where withdrawn_at is null;

-- Who can be recognised: people, and the templates (faces at rest) by which the matcher knows them.

create table people (
    id          uuid primary key,
    -- Display name. Not unique: two people may share one, and then only the external id tells them apart.
    name        text        not null check (length(name) between 1 and 200),
    -- Number of a student or employee in whatever system the site runs beside this one.
    external_id text        unique check (length(external_id) between 1 and 200),
    created_at  timestamptz not null default now()
);

create index people_name on people (name);

create table templates (
    id            uuid primary key,
    person_id     uuid        not null references people on delete cascade,
    -- Embeddings of two models are never compared, so every template says which one made it ...
    model_id      text        not null,
    -- ... and under which licence that model was used, because nobody can reconstruct this later.
    model_licence text        not null,
    -- The embedding, encrypted by the application with a key that the database never sees. Its associated data names
    -- the template, the person and the model: a vector that is moved to another row does not open.
    sealed        bytea       not null,
    -- Weight of the shot it was made from, 0 to 1.
    quality       real        not null,
    -- Digest of the picture file: enrolling the same picture again does nothing.
    source_sha256 bytea       not null check (length(source_sha256) = 32),
    created_at    timestamptz not null default now(),
    unique (person_id, model_id, source_sha256)
);

create index templates_model on templates (model_id);

-- One row. A table and not a sequence: the version is read in the same snapshot as the templates it stands for, and a
-- sequence moves before the change is committed.
create table gallery_state (
    one     boolean primary key default true check (one),
    version bigint not null
);

insert into gallery_state (version) values (1);

create function gallery_changed() returns trigger language plpgsql as $$
declare
    now_at bigint;
begin
    update gallery_state set version = version + 1 returning version into now_at;
    -- Delivered at commit, to every daemon that listens.
    perform pg_notify('rollcall_gallery', now_at::text);
    return null;
end
$$;

-- By statement: enrolling a thousand pictures at once is one change.
create trigger templates_changed after insert or update or delete on templates
    for each statement execute function gallery_changed();

-- Names are shown beside matches, so a renamed person is a changed gallery too.
create trigger people_changed after insert or update or delete on people
    for each statement execute function gallery_changed();

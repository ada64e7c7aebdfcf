-- What the cameras saw and what was made of it, and what is left for a human.

-- The log of decisions: one row for each, also for those that make no mark. It explains a mark, or why there is none.
-- Deliberately without foreign keys: an event is a fact even if the person has been deleted since.
create table events (
    -- Derived from camera, connection, track, person and kind: a second delivery has the same id and changes nothing.
    id              uuid        not null,
    captured_at     timestamptz not null,
    time_source     text        not null,
    recorded_at     timestamptz not null default clock_timestamp(),
    kind            text        not null check (kind in
        ('recorded', 'debounced', 'unknown', 'ambiguous', 'spoof', 'off_roster', 'off_schedule')),
    person_id       uuid,
    -- The best two people, whatever the outcome: [{"person": uuid, "similarity": real}].
    candidates      jsonb       not null,
    room            text        not null,
    camera          text        not null,
    direction       text        check (direction in ('entry', 'exit')),
    -- The connection; track and media time count from its start.
    epoch           uuid        not null,
    track_id        bigint      not null,
    media_ms        bigint      not null,
    -- When the first usable face of the track was taken.
    first_usable_at timestamptz not null,
    similarity      real,
    margin          real,
    shots           integer     not null,
    liveness        text        not null check (liveness in ('live', 'spoof', 'undecided')),
    liveness_score  real,
    -- Why it is undecided.
    liveness_reason text,
    gallery_version bigint      not null,
    model_id        text        not null,
    -- The mark that this event made, or would have made.
    session_id      uuid,
    mark_status     text,
    primary key (id, captured_at)
) partition by range (captured_at);

create index events_camera on events (camera, captured_at);
create index events_person on events (person_id, captured_at) where person_id is not null;

create table events_default partition of events default;

-- Decisions that a human should take. Not partitioned: the open ones are few, and closed ones are cut down by retention.
create table review_items (
    -- One item an event.
    event_id    uuid primary key,
    kind        text        not null check (kind in ('unknown', 'ambiguous', 'spoof')),
    room        text        not null,
    camera      text        not null,
    captured_at timestamptz not null,
    candidates  jsonb       not null,
    -- The best view of the face (JPEG), encrypted like a template; erased by retention before the item is.
    sealed_crop bytea,
    status      text        not null default 'open' check (status in ('open', 'confirmed', 'assigned', 'rejected')),
    created_at  timestamptz not null default now()
);

create index review_items_open on review_items (captured_at) where status = 'open';
create index review_items_created on review_items (created_at);

-- Who may do what: accounts of people, keys of machines, and the log of what they did.

create table accounts (
    id              uuid primary key,
    -- What they log in with; compared without case.
    login           text        not null check (length(login) between 1 and 200),
    name            text        not null check (length(name) between 1 and 200),
    role            text        not null check (role in ('admin', 'operator', 'teacher', 'viewer', 'person')),
    -- Argon2id in PHC form. Null: the account was made, and its password has to be set by a link.
    password_hash   text,
    must_change_password boolean not null default false,
    -- Whose own record a `person` may see.
    person_id       uuid        references people on delete cascade,
    -- Not limited to the rows of `grants`.
    everywhere      boolean     not null default false,
    disabled_at     timestamptz,
    created_at      timestamptz not null default now(),
    version         bigint      not null default 1,
    check ((role = 'person') = (person_id is not null))
);

create unique index accounts_login on accounts (lower(login));

-- One row a login: the family of refresh tokens that began with a password.
create table logins (
    id          uuid primary key,
    account_id  uuid        not null references accounts on delete cascade,
    created_at  timestamptz not null default now(),
    expires_at  timestamptz not null,
    address     text,
    user_agent  text,
    revoked_at  timestamptz,
    -- logout, reuse, password, disabled, admin
    revoked_for text
);

create index logins_account on logins (account_id);

-- Only digests: whoever reads the database cannot log in with what is there.
create table refresh_tokens (
    sha256     bytea primary key check (length(sha256) = 32),
    login_id   uuid        not null references logins on delete cascade,
    expires_at timestamptz not null,
    -- Turned in for its successor. Turned in twice, the whole family is revoked.
    used_at    timestamptz
);

create index refresh_tokens_login on refresh_tokens (login_id);

create table access_tokens (
    sha256     bytea primary key check (length(sha256) = 32),
    login_id   uuid        not null references logins on delete cascade,
    expires_at timestamptz not null
);

create index access_tokens_login on access_tokens (login_id);
create index access_tokens_expiry on access_tokens (expires_at);

-- One-time links: the first admin, a reset password.
create table password_links (
    sha256     bytea primary key check (length(sha256) = 32),
    -- Null: makes the first admin.
    account_id uuid references accounts on delete cascade,
    expires_at timestamptz not null,
    used_at    timestamptz
);

create table api_keys (
    id          uuid primary key,
    name        text        not null check (length(name) between 1 and 200),
    -- The first characters, by which people tell keys apart.
    prefix      text        not null,
    sha256      bytea       not null unique check (length(sha256) = 32),
    -- Names of rights, such as attendance:read.
    rights      text[]      not null,
    everywhere  boolean     not null default false,
    rate_per_minute integer check (rate_per_minute > 0),
    created_by  uuid        references accounts on delete set null,
    created_at  timestamptz not null default now(),
    expires_at  timestamptz,
    revoked_at  timestamptz,
    last_used_at timestamptz,
    version     bigint      not null default 1
);

-- Append-only. Nothing refers to anything: an entry outlives the account and the object that it is about.
create table audit_log (
    id          bigint generated always as identity primary key,
    at          timestamptz not null default clock_timestamp(),
    -- account, api_key, system
    actor_kind  text        not null,
    actor_id    uuid,
    actor_name  text        not null,
    address     text,
    request_id  text,
    -- Noun and verb: camera.update, review_crop.view.
    action      text        not null,
    object_kind text        not null,
    object_id   text        not null,
    -- Whose data it is, so that erasing a person finds it.
    person_id   uuid,
    before      jsonb,
    after       jsonb
);

create index audit_log_object on audit_log (object_kind, object_id, id);
create index audit_log_actor on audit_log (actor_id, id);
create index audit_log_person on audit_log (person_id) where person_id is not null;
create index audit_log_at on audit_log (at);

create function audit_log_is_append_only() returns trigger language plpgsql as $$
begin
    -- The right to erasure is stronger than the log: what was said of an erased person goes, that it was done stays.
    if tg_op = 'UPDATE' and current_setting('rollcall.erasing', true) = 'on' then
        if row(new.id, new.at, new.actor_kind, new.action, new.object_kind)
           is not distinct from
           row(old.id, old.at, old.actor_kind, old.action, old.object_kind) then
            return new;
        end if;
    end if;
    -- Retention drops what is older than the site keeps.
    if tg_op = 'DELETE' and current_setting('rollcall.retention', true) = 'on' then
        return old;
    end if;
    raise exception 'audit_log is append-only' using errcode = 'insufficient_privilege';
end
$$;

create trigger audit_log_append_only before update or delete on audit_log
    for each row execute function audit_log_is_append_only();
create trigger audit_log_no_truncate before truncate on audit_log
    for each statement execute function audit_log_is_append_only();

-- Answers of POSTs that created something, for callers who did not hear them.
create table idempotency_keys (
    -- Who sent it: account or key.
    caller     uuid        not null,
    key        text        not null check (length(key) between 1 and 200),
    -- Method, path and body: the same key for another request is a mistake.
    request_sha256 bytea   not null check (length(request_sha256) = 32),
    -- Null while the first request is still under way.
    status     smallint,
    -- Head and body, sealed: there may be a secret in it.
    sealed_answer bytea,
    created_at timestamptz not null default now(),
    primary key (caller, key)
);

create index idempotency_keys_created on idempotency_keys (created_at);

-- Runs as they were judged, in numbers that can be compared, merged and drawn.
-- Every name is qualified: nothing depends on the search path of whoever connects.

create table bench.run (
    run_id text primary key,
    digest bytea not null check (length(digest) = 32),
    scenario text not null,
    started_at timestamptz not null,
    duration_s double precision not null,
    verdict text not null check (verdict in ('PASS', 'FAIL', 'INCONCLUSIVE')),
    headline text not null,
    partial boolean not null,
    simulated boolean not null,
    target text not null,
    git_branch text,
    git_commit text,
    bench_version text not null,
    host text not null,
    environment_key text not null,
    environment_facts jsonb not null,
    header jsonb not null,
    doubts jsonb not null,
    sealed boolean not null default false,
    pushed_at timestamptz not null default clock_timestamp(),
    pushed_by text not null default session_user
);
comment on column bench.run.digest is 'SHA-256 of the journal';
comment on column bench.run.header is 'what was going to happen; secrets are blanked';
create index run_series on bench.run (scenario, environment_key, started_at desc) where sealed;
create index run_started on bench.run (started_at desc) where sealed;

create table bench.phase (
    run_id text not null references bench.run,
    position integer not null,
    name text not null,
    load jsonb not null,
    measured_from_ns bigint,
    measured_to_ns bigint,
    planned bigint,
    sent bigint,
    ok bigint,
    failed bigint,
    timed_out bigint,
    in_flight_at_end bigint,
    primary key (run_id, position)
);
comment on table bench.phase is 'phases of the plan; those that never began have no counts';

create table bench.metric (
    run_id text not null references bench.run,
    phase text not null,
    metric text not null,
    value double precision not null,
    lower double precision,
    upper double precision,
    samples bigint not null,
    primary key (run_id, phase, metric)
);
comment on table bench.metric is 'base units; lower and upper are one-sided 95 % bounds';
create index metric_trend on bench.metric (metric, phase, run_id) include (value, lower, upper, samples);

create table bench.histogram (
    run_id text not null references bench.run,
    phase text not null,
    request text not null,
    kind text not null check (kind in ('response', 'service', 'ttfb', 'failed', 'censored')),
    count bigint not null,
    overflow bigint not null,
    v2 bytea not null,
    primary key (run_id, phase, request, kind)
);
comment on column bench.histogram.v2 is
    'HdrHistogram V2 encoding, microseconds, 3 digits; merge histograms, never percentiles';

create table bench.series_block (
    run_id text not null references bench.run,
    source text not null,
    metric text not null,
    instance text not null,
    block integer not null,
    points integer not null,
    encoding text not null check (encoding = 'varint-delta-ns+f64le'),
    data bytea not null,
    primary key (run_id, source, metric, instance, block)
);
comment on table bench.series_block is 'ten minutes of one series each, on the clock of the run';

create table bench.gate (
    run_id text not null references bench.run,
    position integer not null,
    scope text not null,
    gate text not null,
    metric text not null,
    verdict text not null check (verdict in ('PASS', 'FAIL', 'INCONCLUSIVE')),
    observed double precision,
    lower double precision,
    upper double precision,
    threshold double precision not null,
    samples bigint not null,
    reason text not null,
    primary key (run_id, position)
);

-- What is sealed stays as it is, for everybody who does not own the tables.
create function bench.refuse_change_of_sealed() returns trigger
    language plpgsql set search_path = pg_catalog as $$
begin
    if exists (
        select from bench.run r where r.sealed and r.run_id in (old.run_id, new.run_id)
    ) then
        raise exception 'the run % is sealed', coalesce(old.run_id, new.run_id)
            using errcode = 'object_not_in_prerequisite_state';
    end if;
    return coalesce(new, old);
end $$;

create trigger sealed before update or delete on bench.run
    for each row when (old.sealed) execute function bench.refuse_change_of_sealed();
create trigger sealed before insert or update or delete on bench.phase
    for each row execute function bench.refuse_change_of_sealed();
create trigger sealed before insert or update or delete on bench.metric
    for each row execute function bench.refuse_change_of_sealed();
create trigger sealed before insert or update or delete on bench.histogram
    for each row execute function bench.refuse_change_of_sealed();
create trigger sealed before insert or update or delete on bench.series_block
    for each row execute function bench.refuse_change_of_sealed();
create trigger sealed before insert or update or delete on bench.gate
    for each row execute function bench.refuse_change_of_sealed();

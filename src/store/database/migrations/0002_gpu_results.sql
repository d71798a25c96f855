-- What GPUs can do at all.

create table bench.gpu_result (
    run_id text not null references bench.run,
    gpu_uuid text not null,
    gpu_name text not null,
    test text not null,
    metric text not null,
    value double precision not null,
    lower double precision,
    upper double precision,
    peak double precision,
    primary key (run_id, gpu_uuid, test, metric)
);

create trigger sealed before insert or update or delete on bench.gpu_result
    for each row execute function bench.refuse_change_of_sealed();

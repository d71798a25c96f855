-- Roles of least privilege: bench_writer pushes runs, bench_reader looks at them. Roles belong to the
-- whole server; where this user may not make them, an administrator does, and migrates again.

do $$
declare
    wanted text;
begin
    foreach wanted in array array['bench_reader', 'bench_writer'] loop
        if not exists (select from pg_catalog.pg_roles where rolname = wanted) then
            begin
                execute pg_catalog.format('create role %I nologin', wanted);
            exception
                when insufficient_privilege then
                    raise warning 'the role % is missing, and this user may not make it', wanted;
                when duplicate_object or unique_violation then
                    null; -- another migration was faster
            end;
        end if;
    end loop;
    if exists (select from pg_catalog.pg_roles where rolname = 'bench_reader') then
        grant usage on schema bench to bench_reader;
        grant select on all tables in schema bench to bench_reader;
    end if;
    if exists (select from pg_catalog.pg_roles where rolname = 'bench_writer') then
        grant usage on schema bench to bench_writer;
        grant select on all tables in schema bench to bench_writer;
        grant insert on bench.run, bench.phase, bench.metric, bench.histogram, bench.series_block,
            bench.gate, bench.gpu_result to bench_writer;
        grant update (sealed) on bench.run to bench_writer;
    end if;
end $$;

-- Steps of flows have histograms beside those of requests and flows.

alter table bench.histogram add column is_step boolean not null default false;
comment on column bench.histogram.request is 'a request or a flow; a step of a flow is named flow/step';
comment on column bench.histogram.is_step is
    'a step is a part of its flow: leave steps out where all requests of a phase are merged';

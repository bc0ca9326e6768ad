//! Checking and rendering a big cluster, and one of a tenth of its services.

mod cluster;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("check and render 200 hosts");
    group.sample_size(10);
    for services in [200, 2000] {
        let text = cluster::topology(services, 200);
        group.throughput(Throughput::Elements(services as u64));
        group.bench_function(format!("{services} services"), |bencher| {
            bencher.iter(|| cluster::generate(black_box(&text)));
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);

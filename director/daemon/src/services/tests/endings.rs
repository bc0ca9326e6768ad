//! Stops, and many servers that fail at once.

use super::*;

#[tokio::test]
async fn a_stop_deletes_ours_alone_or_keeps_all() {
    let target: SocketAddr = "10.0.0.71:80".parse().unwrap();
    let foreign = ServiceKey::Address {
        address: [203, 0, 113, 9].into(),
        port: 25,
        protocol: fairway_ipvs::Protocol::TCP,
    };
    let kernel = FakeKernel::default();
    kernel.state().table.insert(foreign, Arc::new(Service::new(Settings::new(Name::new("wlc").unwrap()))));
    let mut running = Running::start(kernel.clone(), &web(target, 3, ""));
    running.until_weight(Some(3)).await;
    assert_eq!(running.stop().await.into_keys().collect::<Vec<_>>(), [foreign]);

    let keep = web(target, 3, "").replace("[[service]]", "[ipvs]\nkeep-on-stop = true\n[[service]]");
    let mut running = Running::start(kernel.clone(), &keep);
    running.until_weight(Some(3)).await;
    assert_eq!(running.stop().await.len(), 2);

    // Without a word (a crash, a hand-over) the table is left alone too.
    let mut running = Running::start(kernel.clone(), &web(target, 3, ""));
    running.until_weight(Some(3)).await;
    let Running { commands, task, .. } = running;
    drop(commands);
    task.await.unwrap();
    assert_eq!(in_kernel(&kernel, target), Some(3));
}

/// Events that the log has got, with what they are about.
#[derive(Clone, Default)]
struct Told(Arc<std::sync::Mutex<Vec<String>>>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Told {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        let mut fields = crate::log::Fields::default();
        event.record(&mut fields);
        let of = |name| fields.others.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone());
        if let Some(kind) = of("event") {
            let words = [Some(kind), of("service"), of("server"), of("detail")].into_iter().flatten();
            self.0.lock().unwrap().push(words.collect::<Vec<_>>().join(" "));
        }
    }
}

#[tokio::test]
async fn a_stop_is_told_as_a_failure_where_it_is_wanted() {
    use tracing_subscriber::layer::SubscriberExt as _;

    let told = Told::default();
    let _log = tracing::subscriber::set_default(tracing_subscriber::registry().with(told.clone()));
    for (setting, expected) in [
        (
            "down-on-stop = true\nscheduler",
            &["server-down web web1 the director stops", "quorum-lost web"][..],
        ),
        ("scheduler", &[]),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = web(listener.local_addr().unwrap(), 3, QUICK).replace("scheduler", setting);
        let mut running = Running::start(FakeKernel::default(), &config);
        running.until_weight(Some(3)).await;
        told.0.lock().unwrap().clear();
        running.stop().await;
        assert_eq!(*told.0.lock().unwrap(), expected);
    }
}

#[tokio::test]
async fn ten_thousand_servers_fail_at_once_and_each_costs_one_message() {
    // One socket is ten thousand servers.
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let accepting = tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let mut config = head() + "[checks.alive]\ntcp = {}\nevery = \"4s\"\ntimeout = \"3s\"\nfall = 1\n";
    for service in 0..1000 {
        let (high, low) = (service / 250, service % 250);
        write!(
            config,
            "[[service]]\nname = \"s{service}\"\nchecks = [\"alive\"]\nforward = \"nat\"\nlisten = {{ address = \"198.51.{high}.{low}\", \
             port = {port}, protocol = \"tcp\" }}\nreal-servers = ["
        )
        .unwrap();
        for server in 1..=10 {
            write!(config, "{{ name = \"r{server}\", address = \"127.{high}.{low}.{server}\" }},").unwrap();
        }
        config.push_str("]\n");
    }
    let mut running = Running::start(FakeKernel::default(), &config);
    let long = PATIENCE * 6;
    let all = |health: &'static str| {
        move |status: &ServicesStatus| {
            status.len() == 1000
                && status.values().all(|s| s.real_servers.values().all(|r| r.health == health))
        }
    };
    tokio::time::timeout(long, running.status.wait_for(all("up"))).await.expect("all are up").unwrap();
    {
        let mut state = running.kernel.state();
        state.log.clear();
        state.applied = 0;
    }
    let start = Instant::now();
    accepting.abort();
    let mut seen = 0;
    while !all("down")(&running.status.borrow_and_update()) {
        assert!(start.elapsed() < long, "all are down in time");
        tokio::time::timeout(long, running.status.changed()).await.expect("something happens").unwrap();
        seen += 1;
    }
    running.reload(&config).await.unwrap();
    let (messages, applied, dumps) = {
        let state = running.kernel.state();
        (state.log.len(), state.applied, state.dumps)
    };
    assert_eq!((messages, dumps), (10_000, 1), "a message for each server, and no look at the whole table");
    // Nobody is told more often than can be read.
    let pauses = start.elapsed().as_millis() / PUBLISH_PAUSE.as_millis() + 2;
    assert!(seen <= pauses, "{seen} states were published in {:?}", start.elapsed());
    assert!(applied <= 10_000, "{applied}");
    drop(running.commands);
    running.task.await.unwrap();
}

//! Each way against the real thing: programs, a mail server, an HTTP server, good and hostile.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use fairway_config::{EventKind, Hook, Mail, Period, Security, Webhook};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use super::*;

/// Longer than anything takes, shorter than anybody's patience.
const LIMIT: Duration = Duration::from_secs(30);

/// The notifications of a director.
struct Bench {
    events: mpsc::Sender<Event>,
    wanted: watch::Sender<Arc<Config>>,
    flush: mpsc::UnboundedSender<Flush>,
    status: watch::Receiver<Status>,
}

fn config(notify: Notify) -> Config {
    let mut config = Config::from_toml("version = 1\ncluster = \"shop\"\nhost = \"lb1\"\n").unwrap();
    config.notify.insert("it".to_owned(), notify);
    config.validate().unwrap();
    verify(&config).unwrap();
    config
}

impl Bench {
    fn new(notify: Notify) -> Self {
        let (events, receiver) = Events::channel();
        let (wanted, configs) = watch::channel(Arc::new(config(notify)));
        let (flush, flushes) = mpsc::unbounded_channel();
        let (sender, status) = watch::channel(Status::new());
        tokio::spawn(run(receiver, configs, flushes, sender));
        Self { events, wanted, flush, status }
    }

    async fn happens(&self, kind: EventKind, number: u32) {
        let event = Event {
            at: SystemTime::UNIX_EPOCH,
            kind,
            message: "real server is down".to_owned(),
            fields: vec![("service", "web".to_owned()), ("server", format!("web{number}"))],
            count: 1,
        };
        self.events.send(event).await.unwrap();
    }

    async fn until(&mut self, what: &str, is: impl Fn(&Deliveries) -> bool) -> Deliveries {
        let waited =
            tokio::time::timeout(LIMIT, self.status.wait_for(|status| status.get("it").is_some_and(&is)));
        let found = waited.await.map(|status| status.unwrap()["it"].clone());
        found.unwrap_or_else(|_| panic!("not within {LIMIT:?}: {what}: {:?}", *self.status.borrow()))
    }

    async fn flush(&self) {
        let (done, told) = oneshot::channel();
        self.flush.send(done).unwrap();
        tokio::time::timeout(LIMIT, told).await.expect("the flush does not end").unwrap();
    }
}

fn script(directory: &Path, text: &str) -> Hook {
    let path = directory.join("hook");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    Hook { command: vec![path.display().to_string(), directory.display().to_string()] }
}

/// The hook itself, without the launcher, which is not this test's program.
async fn run_hook(hook: &Hook, events: &[Event]) -> Result<(), Failure> {
    let delivery =
        Delivery::Hook { launcher: fairway_health::Launcher::default(), command: hook.command.clone() };
    let origin = Origin { cluster: "shop".to_owned(), host: "lb1".to_owned() };
    delivery.deliver(&origin, events).await
}

fn down() -> Event {
    Event {
        at: SystemTime::UNIX_EPOCH,
        kind: EventKind::ServerDown,
        message: "real server is down".to_owned(),
        fields: vec![("service", "web".to_owned()), ("detail", "status 503".to_owned())],
        count: 1,
    }
}

#[tokio::test]
async fn a_hook_reads_variables_and_json() {
    let directory = TempDir::new().unwrap();
    let hook = script(directory.path(), "env | grep ^FAIRWAY | sort > $1/env; cat > $1/json");
    run_hook(&hook, &[down()]).await.unwrap();
    let variables = fs::read_to_string(directory.path().join("env")).unwrap();
    assert_eq!(
        variables,
        "FAIRWAY_CLUSTER=shop\nFAIRWAY_COUNT=1\nFAIRWAY_DETAIL=status 503\nFAIRWAY_EVENT=server-down\n\
         FAIRWAY_HOST=lb1\nFAIRWAY_MESSAGE=real server is down\nFAIRWAY_SERVICE=web\n\
         FAIRWAY_TIME=1970-01-01T00:00:00Z\n"
    );
    let json: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(directory.path().join("json")).unwrap()).unwrap();
    assert_eq!(json["event"], "server-down");
    assert_eq!(json["fields"]["detail"], "status 503");
    let failing = script(directory.path(), "echo no such phone >&2; exit 3");
    let failure = run_hook(&failing, &[down()]).await.unwrap_err();
    assert_eq!(failure, Failure { why: "exit status 3: no such phone".to_owned(), again: false });
}

#[tokio::test]
async fn a_hook_that_hangs_is_killed_with_all_it_has_started() {
    let directory = TempDir::new().unwrap();
    let hook = script(directory.path(), "sleep 3600 & echo $! > $1/child; yes | head -c 50000000; wait");
    let delivery = Delivery::Hook { launcher: fairway_health::Launcher::default(), command: hook.command };
    let shared = Shared {
        name: "it".to_owned(),
        origin: Origin { cluster: "shop".to_owned(), host: "lb1".to_owned() },
        state: Mutex::new(State { queue: Queue::new(&Notify::default()), hurry: false }),
        changed: tokio::sync::Notify::new(),
        status: Arc::new(watch::channel(Status::new()).0),
    };
    let hook = Hook { command: vec!["/bin/true".to_owned()] };
    let notify = Notify { timeout: Some(Period::from_secs(2)), hook: Some(hook), ..Notify::default() };
    let outcome = attempts(&shared, &notify, &delivery, &[down()]).await;
    assert_eq!(outcome, Err("not done within 2s".to_owned()));
    let child = fs::read_to_string(directory.path().join("child")).unwrap();
    // Killed, it is a zombie until init looks.
    let gone = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.trim()));
        stat.is_err() || stat.is_ok_and(|stat| stat.contains(") Z "))
    };
    let killed = async {
        while !gone() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LIMIT, killed).await.expect("what the hook has started goes on");
}

/// A mail server for one message a connection: answers as told, hands over what it was given.
async fn mail_server(answers: &'static [&'static str]) -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (read, mut write) = stream.split();
            let mut lines = BufReader::new(read).lines();
            write.write_all(b"220 mail.example.org ESMTP\r\n").await.unwrap();
            let mut message = String::new();
            while let Ok(Some(line)) = lines.next_line().await {
                let reply = match line.split(' ').next().unwrap_or_default() {
                    "EHLO" => "250 mail.example.org\r\n",
                    "DATA" => {
                        write.write_all(b"354 go on\r\n").await.unwrap();
                        while let Ok(Some(line)) = lines.next_line().await {
                            if line == "." {
                                break;
                            }
                            message += &format!("{line}\n");
                        }
                        answer
                    }
                    "QUIT" => "221 bye\r\n",
                    _ => {
                        message += &format!("{line}\n");
                        "250 ok\r\n"
                    }
                };
                if write.write_all(reply.as_bytes()).await.is_err() {
                    break;
                }
            }
            let _ = sender.send(message);
        }
    });
    (address, receiver)
}

fn mail(server: SocketAddr) -> Notify {
    let mail = Mail {
        server: server.ip().to_string(),
        port: Some(server.port()),
        from: "lb1@example.org".to_owned(),
        to: vec!["ops@example.org".to_owned(), "boss@example.org".to_owned()],
        security: Security::None,
        ca_file: None,
        helo: Some("lb1.example.org".to_owned()),
        user: None,
        password_file: None,
    };
    Notify { mail: Some(mail), collect: Some(Period::from_millis(300)), ..Notify::default() }
}

#[tokio::test]
async fn ten_thousand_failures_are_one_mail_which_is_tried_again() {
    let (server, mut mails) = mail_server(&["451 come back later\r\n", "250 thanks\r\n"]).await;
    let mut bench = Bench::new(mail(server));
    for number in 0..10_000 {
        bench.happens(EventKind::ServerDown, number).await;
    }
    let told = bench.until("the mail is delivered", |told| told.delivered == 1 && told.waiting == 0).await;
    assert_eq!((told.failed, told.dropped, told.error.as_str()), (0, 0, ""));
    let first = mails.recv().await.unwrap();
    let second = mails.recv().await.unwrap();
    assert_eq!(
        first.lines().find(|l| l.starts_with("Message-ID")),
        second.lines().find(|l| l.starts_with("Message-ID"))
    );
    for line in [
        "MAIL FROM:<lb1@example.org>",
        "RCPT TO:<ops@example.org>",
        "RCPT TO:<boss@example.org>",
        "Subject: [shop] lb1: 10000 server-down",
        "Auto-Submitted: auto-generated",
    ] {
        assert!(second.lines().any(|l| l == line), "{line} is not in\n{second}");
    }
    let body = second.replace("=\n", "");
    assert!(body.contains("server-down: real server is down (service web, server web0)"), "{body}");
    assert!(body.contains("9980 times server-down"), "{body}");
}

#[tokio::test]
async fn a_mail_that_is_refused_is_given_up_and_shown() {
    let (server, _mails) = mail_server(&["554 no mail from load balancers\r\n"]).await;
    let mut bench = Bench::new(mail(server));
    bench.happens(EventKind::ServerDown, 1).await;
    let told = bench.until("it is given up", |told| told.failed == 1).await;
    assert!(told.error.contains("no mail from load balancers"), "{}", told.error);
    assert_eq!((told.delivered, told.waiting), (0, 0));
}

#[tokio::test]
async fn no_mail_server_is_tried_until_there_is_no_time_left() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut bench = Bench::new(mail(nobody));
    bench.happens(EventKind::Stopping, 1).await;
    let told = bench.until("the first attempt fails", |told| !told.error.is_empty()).await;
    assert_eq!(told.failed, 0, "it is tried again");
    bench.flush().await;
    let told = bench.until("it is given up", |told| told.failed == 1).await;
    assert_eq!(told.waiting, 0);
}

/// An HTTP server that answers each request with the next status, or with silence for 0.
async fn http_server(answers: &'static [u16]) -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for status in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut request, mut length) = (Vec::new(), None);
            while length.is_none_or(|length| request.len() < length) {
                if stream.read_buf(&mut request).await.unwrap() == 0 {
                    break;
                }
                let text = String::from_utf8_lossy(&request);
                length = text.find("\r\n\r\n").and_then(|end| {
                    let header = text.lines().find_map(|line| line.strip_prefix("content-length: "))?;
                    Some(end + 4 + header.parse::<usize>().ok()?)
                });
            }
            sender.send(String::from_utf8(request).unwrap()).unwrap();
            if *status == 0 {
                // Until it has had enough.
                let _ = stream.read_buf(&mut Vec::new()).await;
                continue;
            }
            let answer = format!("HTTP/1.1 {status} -\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (address, receiver)
}

fn webhook(server: SocketAddr, directory: &Path) -> Notify {
    let secret = directory.join("secret");
    fs::write(&secret, "Authorization: Bearer abc\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let webhook = Webhook {
        url: format!("http://{server}/hooks/lb?room=ops"),
        header_file: Some(secret),
        headers: [("X-Cluster".to_owned(), "shop".to_owned())].into(),
        tls: None,
    };
    let (collect, pause) = (Some(Period::from_millis(0)), Some(Period::from_millis(0)));
    Notify { webhook: Some(webhook), collect, pause, ..Notify::default() }
}

#[tokio::test]
async fn a_webhook_is_posted_to_again_where_that_may_help() {
    let directory = TempDir::new().unwrap();
    let (server, mut requests) = http_server(&[503, 204, 404, 0, 200]).await;
    let mut bench =
        Bench::new(Notify { timeout: Some(Period::from_secs(1)), ..webhook(server, directory.path()) });
    bench.happens(EventKind::QuorumLost, 1).await;
    bench.until("the second answer is good", |told| told.delivered == 1).await;
    let (first, second) = (requests.recv().await.unwrap(), requests.recv().await.unwrap());
    assert_eq!(first, second);
    let (head, body) = first.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /hooks/lb?room=ops HTTP/1.1\r\n"), "{head}");
    for header in ["authorization: Bearer abc", "x-cluster: shop", "content-type: application/json"] {
        assert!(head.lines().any(|line| line == header), "{header} is not in\n{head}");
    }
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["events"][0]["event"], "quorum-lost");
    assert_eq!(body["events"][0]["fields"]["server"], "web1");
    assert!(body["text"].as_str().unwrap().starts_with("[shop] lb1: "), "{body}");

    bench.happens(EventKind::QuorumLost, 2).await;
    let told = bench.until("the third is final", |told| told.failed == 1).await;
    assert_eq!(told.error, "the answer is status 404");
    bench.happens(EventKind::QuorumLost, 3).await;
    let told = bench.until("the fourth stalls", |told| told.error.starts_with("not done")).await;
    assert_eq!(told.error, "not done within 1s");
    bench.until("the fifth is good", |told| told.delivered == 2 && told.error.is_empty()).await;
}

#[tokio::test]
async fn a_reload_keeps_what_waits_and_only_wanted_events_are_told() {
    let directory = TempDir::new().unwrap();
    let (server, mut requests) = http_server(&[200]).await;
    let notify = Notify {
        events: vec![EventKind::GroupMaster],
        collect: Some(Period::from_secs(3600)),
        ..webhook(server, directory.path())
    };
    let mut bench = Bench::new(notify.clone());
    bench.happens(EventKind::ServerDown, 1).await;
    bench.happens(EventKind::GroupMaster, 2).await;
    bench.until("the event is taken in", |told| told.waiting == 1).await;
    let mut changed = config(notify);
    changed.notify.insert("other".to_owned(), webhook(server, directory.path()));
    bench.wanted.send_replace(Arc::new(changed));
    let both = bench.status.wait_for(|status| status.contains_key("other"));
    drop(tokio::time::timeout(LIMIT, both).await.expect("there is another receiver").unwrap());
    bench.flush().await;
    let body = requests.recv().await.unwrap();
    assert!(body.contains("group-master") && !body.contains("server-down"), "{body}");
}

#[tokio::test]
async fn what_happens_right_after_a_reload_is_told_to_whom_it_has_brought() {
    let directory = TempDir::new().unwrap();
    let (server, mut requests) = http_server(&[200]).await;
    let others = Notify { events: vec![EventKind::Ipvs], ..webhook(server, directory.path()) };
    let mut bench = Bench::new(others.clone());
    bench.until("the receiver is there", |told| told.waiting == 0).await;
    // Both are there when the task looks next.
    let mut changed = config(others);
    changed.notify.insert("new".to_owned(), webhook(server, directory.path()));
    bench.wanted.send_replace(Arc::new(changed));
    bench.happens(EventKind::Reloaded, 1).await;
    let body = tokio::time::timeout(LIMIT, requests.recv()).await.expect("it is not told").unwrap();
    assert!(body.contains("\"event\":\"reloaded\""), "{body}");
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let directory = TempDir::new().unwrap();
    let notify = webhook("127.0.0.1:1".parse().unwrap(), directory.path());
    let secret = notify.webhook.as_ref().unwrap().header_file.clone().unwrap();
    let refused = |notify: &Notify| Delivery::new(notify).unwrap_err().to_string();
    fs::write(&secret, "Bearer abc\n").unwrap();
    assert!(refused(&notify).contains("write lines such as"), "{}", refused(&notify));
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(refused(&notify).contains("everybody has access"), "{}", refused(&notify));
    fs::remove_file(&secret).unwrap();
    assert!(refused(&notify).contains("readable by the director"), "{}", refused(&notify));
}

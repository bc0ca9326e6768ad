//! A new configuration is in force in both parts or in neither.

use tokio::sync::mpsc::UnboundedReceiver;

use super::*;

fn config(host: &str) -> Arc<Config> {
    let text = format!("version = 1\ncluster = \"c\"\nhost = \"{host}\"\n");
    Arc::new(Config::from_toml(&text).unwrap())
}

/// A VRRP part that answers in turn; it ends with the number of configurations it was given.
async fn vrrp(mut commands: UnboundedReceiver<VrrpCommand>, answers: Vec<Result<(), Refused>>) -> usize {
    let mut answers = answers.into_iter();
    let mut seen = 0;
    while let Some(VrrpCommand::Reconfigure { reply, .. }) = commands.recv().await {
        seen += 1;
        reply.send(answers.next().expect("no further command was expected")).unwrap();
    }
    seen
}

/// A services part that answers in turn; it ends with the hosts of the configurations it was given.
async fn services(
    mut commands: UnboundedReceiver<ServicesCommand>,
    answers: Vec<Result<(), Refused>>,
) -> Vec<String> {
    let mut answers = answers.into_iter();
    let mut seen = Vec::new();
    while let Some(ServicesCommand::Reconfigure { config, reply }) = commands.recv().await {
        seen.push(config.host.clone());
        reply.send(answers.next().expect("no further command was expected")).unwrap();
    }
    seen
}

async fn outcome(
    vrrp_answers: Vec<Result<(), Refused>>,
    services_answers: Vec<Result<(), Refused>>,
) -> (Result<(), Refused>, usize, Vec<String>) {
    let (vrrp_handle, vrrp_commands) = Handle::new();
    let (services_handle, services_commands) = Handle::new();
    let vrrp = tokio::spawn(vrrp(vrrp_commands, vrrp_answers));
    let services = tokio::spawn(services(services_commands, services_answers));
    let result = apply(&vrrp_handle, &services_handle, &config("old"), &config("new")).await;
    drop((vrrp_handle, services_handle));
    (result, vrrp.await.unwrap(), services.await.unwrap())
}

fn no() -> Result<(), Refused> {
    Err(Refused("no".to_owned()))
}

#[tokio::test]
async fn both_parts_take_it() {
    let (result, vrrp, services) = outcome(vec![Ok(())], vec![Ok(())]).await;
    assert_eq!((result, vrrp, services), (Ok(()), 1, vec!["new".to_owned()]));
}

#[tokio::test]
async fn services_refuse_and_vrrp_never_hears_of_it() {
    let (result, vrrp, services) = outcome(vec![], vec![no(), Ok(())]).await;
    assert_eq!((result, vrrp, services), (no(), 0, vec!["new".to_owned(), "old".to_owned()]));
}

#[tokio::test]
async fn vrrp_refuses_and_both_go_back() {
    let (result, vrrp, services) = outcome(vec![no(), Ok(())], vec![Ok(()), Ok(())]).await;
    assert_eq!((result, vrrp, services), (no(), 2, vec!["new".to_owned(), "old".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_stuck_part_is_named() {
    let (vrrp_handle, _vrrp_commands) = Handle::new();
    let (services_handle, _services_commands) = Handle::new();
    let Refused(text) =
        apply(&vrrp_handle, &services_handle, &config("old"), &config("new")).await.unwrap_err();
    assert!(text.starts_with("the services part has not answered within 20 s"), "{text}");
}

#[tokio::test]
async fn a_part_that_has_ended_refuses() {
    let (vrrp_handle, _) = Handle::new();
    let (services_handle, _) = Handle::new();
    let result = apply(&vrrp_handle, &services_handle, &config("old"), &config("new")).await;
    assert_eq!(result, Err(Refused("the director is stopping".to_owned())));
}

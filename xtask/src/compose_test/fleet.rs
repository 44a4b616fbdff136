//! What must hold for the fleet of docker-compose.fleet.yml, and for a second machine that joins it.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::checks::{passed, text};
use super::stack::Stack;
use super::ticks::{Account, Sender, account, second};
use crate::client::Client;
use crate::step::root;

/// At one snapshot a second a slot has a minute.
const ARRIVES_WITHIN: Duration = Duration::from_secs(150);
/// What a machine, a hub or nginx needs to notice something.
const NOTICED_WITHIN: Duration = Duration::from_secs(60);
const AWAY: Duration = Duration::from_secs(20);
/// Its page as machines in the fleet's network reach it.
const HUB: &str = "http://hub-1:8000";
/// As xtask/src/compose_test/second.yml says.
const SECOND: Sender<'static> = Sender { id: "second.example", service: "second" };
const SNIPPETS: &str = "frontend/src/format/joining.ts";
const SHUT_OUT: &str = "NATS does not let this machine in";

fn signed_in(stack: &Stack<'_>) -> Result<Client> {
    let (user, password) = stack.first_login("hub-1")?;
    let mut client = stack.client();
    client.log_in(&user, &password)?;
    Ok(client)
}

/// The host with this name or ID, as the hubs know it.
fn host(client: &Client, name: &str) -> Option<Value> {
    let mut hosts = client.json("/api/hosts").ok()?;
    let hosts = hosts["hosts"].as_array_mut()?;
    hosts.iter_mut().find(|host| host["name"] == name || host["id"] == name).map(Value::take)
}

/// A host that sends, once it has history.
fn sending(client: &Client, name: &str) -> Option<Value> {
    host(client, name).filter(|host| host["state"] == "live" && host["newest"].is_string())
}

/// What the agent of the compose file is called.
fn this_machine() -> Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/hostname")?.trim().to_owned())
}

/// The next tick of a host that its history will have. The first of a run is taken at once, between two seconds, and only shown.
fn next_stored(client: &Client, id: &str, after: i64) -> Result<i64> {
    let mut stream = client.stream_of(id)?;
    loop {
        let (at, _) = stream.snapshot()?;
        let tick = second(&at)?;
        if tick > after && !at.contains('.') {
            return Ok(tick);
        }
    }
}

/// The agent's machine is there by itself, under the host's name.
pub fn machine(stack: &Stack<'_>) -> Result<u32> {
    let client = signed_in(stack)?;
    let page = client.get("/", "text/html")?;
    ensure!(page.status == 200 && page.body.contains("data-role=\"hub\""), "not a hub's page: {page:?}");
    passed("nginx serves the page of a hub", format_args!("{} bytes", page.body.len()));
    let name = this_machine()?;
    let host = stack.wait("the agent's machine with history", ARRIVES_WITHIN, || sending(&client, &name))?;
    passed("the agent's machine is there", format_args!("{name}, until {}", text(&host["newest"])));
    Ok(2)
}

/// Another machine joins by the command that the page prints, and is seen as it happens.
pub fn second_machine(stack: &Stack<'_>) -> Result<u32> {
    let client = signed_in(stack)?;
    let made = client.post("/api/fleet/tokens", &json!({}))?;
    ensure!(made.status == 201, "{made:?}");
    let token = made.json()?["token"].as_str().context("no token")?.to_owned();
    let page = fs::read_to_string(root().join(SNIPPETS))?;
    let typed = join_command(&page, HUB, &token)?;
    let joined = stack.ask(&[&["run", "--rm", "-T", SECOND.service], &typed[..]].concat())?;
    let state = host(&client, SECOND.id).context("it has joined, but the hub does not know it")?;
    ensure!(state["state"] == "joining" && state["name"] == "second", "{state}");
    let machines = client.json("/api/fleet/machines")?;
    let member =
        machines["machines"].as_array().and_then(|all| all.iter().find(|one| one["host"] == SECOND.id));
    ensure!(member.is_some_and(|member| member["invited_by"] == "admin"), "{machines}");
    passed("a second machine joins by the printed command", joined.lines().next().unwrap_or_default());

    let again = [
        "run",
        "--rm",
        "-T",
        "--env=PERFWATCH_DATA_DIR=/tmp/third",
        "--env=PERFWATCH_HOST_ID=third",
        SECOND.service,
    ];
    let again = stack.ask(&[&again[..], &typed[..]].concat());
    let refused = again.err().map(|error| format!("{error:#}")).context("a token let two machines join")?;
    let why =
        refused.split_once("the hub refused: ").map_or("", |(_, why)| why.lines().next().unwrap_or_default());
    ensure!(why.contains("was used before") && host(&client, "third").is_none(), "{refused}");
    passed("the token lets no third one in", why);

    stack.ask(&["up", "--detach", SECOND.service])?;
    stack.wait("the second machine live", NOTICED_WITHIN, || {
        host(&client, SECOND.id).filter(|host| host["state"] == "live")
    })?;
    let mut stream = client.stream_of(SECOND.id)?;
    let mut ticks = Vec::new();
    for _ in 0..5 {
        ticks.push(second(&stream.snapshot()?.0)?);
    }
    ensure!(ticks.is_sorted_by(|one, next| one < next), "{ticks:?}");
    passed(
        "it is live, and its ticks are seen",
        format_args!("{} in {} s", ticks.len(), ticks[4] - ticks[0] + 1),
    );

    // In a container of its own there is nothing else.
    let processes = client.json(&format!("/api/processes?host={}", SECOND.id))?;
    let count = &processes["count"];
    ensure!(*count == 1, "{processes}");
    passed("it answers for itself", format_args!("{count} process"));

    let arrived = stack.wait("its history", ARRIVES_WITHIN, || sending(&client, SECOND.id))?;
    passed("its history arrives", format_args!("until {}", text(&arrived["newest"])));
    Ok(5)
}

/// What the page prints for a service, as the arguments of `perfwatch`.
fn join_command<'a>(page: &'a str, hub: &'a str, token: &'a str) -> Result<Vec<&'a str>> {
    let line =
        page.lines().find_map(|line| line.trim().strip_prefix("return `sudo perfwatch ")?.split_once(" && "));
    let (command, rest) = line.with_context(|| format!("{SNIPPETS} has no command"))?;
    ensure!(rest == "sudo systemctl restart perfwatch`;", "{SNIPPETS} goes on with {rest}");
    let mut arguments = Vec::new();
    for word in command.split(' ') {
        match word {
            "join${allow}" => arguments.extend(["join", "--allow-http"]),
            "${hub}" => arguments.push(hub),
            "${token}" => arguments.push(token),
            _ => bail!("{SNIPPETS}: {word} is unknown here"),
        }
    }
    Ok(arguments)
}

/// Hub, NATS, database and agent are killed one after the other: the page goes on, and every tick that either machine took is
/// there once.
pub fn faults(stack: &Stack<'_>) -> Result<u32> {
    let client = signed_in(stack)?;
    let name = this_machine()?;
    let this = sending(&client, &name).context("no machine")?;
    let this_id = text(&this["id"]).to_owned();
    let first = Sender { id: &this_id, service: "agent" };
    let newest = |sender: Sender<'_>| second(text(&sending(&client, sender.id)?["newest"])).ok();
    let froms = [first, SECOND].map(newest);

    stack.ask(&["kill", "--signal=KILL", "hub-1"])?;
    let answered = stack.wait("an answer of the other hub", NOTICED_WITHIN, || sending(&client, &name))?;
    passed("the other hub answers, with the same login", text(&answered["state"]));

    stack.ask(&["kill", "--signal=KILL", "nats"])?;
    sleep(AWAY);
    stack.ask(&["start", "nats", "hub-1"])?;

    stack.ask(&["kill", "--signal=KILL", "db"])?;
    sleep(AWAY);
    stack.ask(&["start", "db"])?;
    let started = Instant::now();
    let health = stack.wait("/health of the hubs", NOTICED_WITHIN, || {
        client.json("/health").ok().filter(|health| health["status"] == "healthy")
    })?;
    let health = text(&health["status"]);
    passed(
        "the hubs go on when the database is back",
        format_args!("{health} after {:.1?}", started.elapsed()),
    );

    let last = next_stored(&client, &this_id, 0)?;
    stack.ask(&["kill", "--signal=KILL", first.service])?;
    sleep(AWAY);
    stack.ask(&["start", first.service])?;
    let back = stack.wait("ticks of the agent that was killed", NOTICED_WITHIN, || {
        next_stored(&client, &this_id, last).ok()
    })?;
    passed("an agent that was killed is seen again", format_args!("{} s after its last tick", back - last));

    for (sender, from) in [first, SECOND].into_iter().zip(froms) {
        let from = from.with_context(|| format!("{} has no history", sender.service))?;
        let to = stack.wait("history from after all this", 2 * ARRIVES_WITHIN, || {
            newest(sender).filter(|newest| *newest > back)
        })?;
        let killed = (sender.service == first.service).then_some((last, back));
        let count = || account(stack, &client, sender, (from, to), killed);
        let what = format!("every tick of {} from {from} to {to}", sender.service);
        let whole = stack.wait(&what, ARRIVES_WITHIN, || count().ok().filter(Account::is_whole));
        let whole = whole.with_context(|| format!("{:?}", count()))?;
        passed(&format!("the outages lost and doubled nothing of {}", sender.service), whole);
    }
    Ok(5)
}

/// The second machine is revoked: it is shut out at once, also after it has started anew.
pub fn revocation(stack: &Stack<'_>) -> Result<u32> {
    let client = signed_in(stack)?;
    let mut stream = client.stream_of(SECOND.id)?;
    let last = second(&stream.snapshot()?.0)?;
    let revoked = client.delete(&format!("/api/fleet/machines/{}", SECOND.id))?;
    ensure!(revoked.status == 200 && revoked.json()?["message"] == "Machine revoked", "{revoked:?}");
    let state = host(&client, SECOND.id).context("it is gone")?;
    ensure!(state["state"] == "revoked", "{state}");
    // Until the stream has nothing for longer than its client waits.
    let mut since = last;
    while let Ok((tick, _)) = stream.snapshot() {
        since = second(&tick)?;
        ensure!(since - last < 5, "ticks of a revoked machine are seen {} s later", since - last);
    }
    passed("a revoked machine is live no more", format_args!("{} ticks after its last", since - last));

    let refusals = || {
        let log = stack.ask(&["logs", "--no-color", SECOND.service]).ok()?;
        Some(log.lines().filter(|line| line.contains(SHUT_OUT)).count())
    };
    let before =
        stack.wait("NATS to shut it out", NOTICED_WITHIN, || refusals().filter(|count| *count > 0))?;
    stack.ask(&["restart", "--timeout=1", SECOND.service])?;
    let refused = stack
        .wait("NATS to shut it out again", NOTICED_WITHIN, || refusals().filter(|count| *count > before))?;
    let end = host(&client, SECOND.id).context("it is gone")?;
    let newest = second(text(&end["newest"]))?;
    ensure!(end["state"] == "revoked" && newest <= since, "{state}, then {end}");
    passed("it can't send, nor after a new start", format_args!("refused {refused} times"));
    Ok(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_s_command_is_read_from_its_source() {
        let page = fs::read_to_string(root().join(SNIPPETS)).unwrap();
        let typed = join_command(&page, "http://hub", "pwj_x").unwrap();
        assert_eq!(typed, ["join", "--allow-http", "http://hub", "pwj_x"]);
        assert!(join_command("", "http://hub", "pwj_x").is_err());
    }
}

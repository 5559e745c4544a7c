//! What the fan-out costs: the tower, Debian's Icecast fed by FFmpeg, and a bare loop of `send` as the floor, on
//! the same machine in the same run, with 100, 1000 and 4000 listeners at 128 kbit/s.
//!
//! `cargo bench --bench listeners` compares the three; with `-- batches` it shows what a batch costs and delays.
//! Each program runs alone, one after the other, in several rounds; a figure is the median of the rounds. CPU
//! is what the scheduler counted for every thread of the one process: FFmpeg and the crowd have processes of
//! their own. On loopback a `send` pays for the receiver's share of TCP, too.
//!
//! Nothing is asserted about CPU but what is promised, and that the crowd was heard out: nobody lost, every first
//! byte a frame's.

#[path = "../../tests/common/mod.rs"]
mod common;
mod crowds;
mod floor;
mod joins;
mod servers;
#[path = "../shared/usage.rs"]
mod usage;

use std::{collections::BTreeMap, thread::sleep, time::Duration};

use common::{crowd::Heard, icecast::Icecast};
use crowds::CrowdProcess;
use joins::Joins;
use servers::Server;
use usage::{Usage, cpu_of};

const CROWDS: [usize; 3] = [100, 1000, 4000];
const ROUNDS: usize = 3;
const WINDOW: Duration = Duration::from_secs(6);
const SETTLE: Duration = Duration::from_secs(2);
/// With so many connected, others join one by one.
const JOINED_WITH: usize = 1000;
const BATCHES_MS: [u64; 8] = [24, 48, 72, 96, 144, 192, 216, 288];
/// Of these, which take long.
const BATCH_ROUNDS: usize = 1;

/// One program with one crowd in one round.
struct Figures {
    usage: Usage,
    ffmpeg_cpu: f64,
    heard: Heard,
    joins: Option<Joins>,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    raise_descriptor_limit();
    match words[..] {
        ["crowd", port, look] => crowds::run(port, look),
        ["floor", batch_ms] => floor::run(batch_ms),
        ["batches"] => batches(),
        [] => compare(),
        _ => panic!("usage: cargo bench --bench listeners [-- batches]"),
    }
}

fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("limit");
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(65_536), hard).expect("limit");
}

/// Of each program and crowd, a round's figures.
type Table = BTreeMap<(&'static str, usize), Vec<Figures>>;

fn compare() {
    let mut table = Table::new();
    for round in 1..=ROUNDS {
        println!("round {round} of {ROUNDS}");
        measure(Server::floor(0), &CROWDS, &mut table);
        measure(Server::tower(0), &CROWDS, &mut table);
        if Icecast::is_installed() {
            measure(Server::icecast(), &CROWDS, &mut table);
        }
    }
    println!("\n128 kbit/s to listeners on this machine, {ROUNDS} rounds of {} s; medians.\n", WINDOW.as_secs());
    print_cost(&table);
    print_joins(&table);
    println!();
    judge(&table);
}

fn measure(server: Server, crowds: &[usize], table: &mut Table) {
    let mut crowd = CrowdProcess::start(server.port(), server.is_framed());
    for count in [0].iter().chain(crowds) {
        let come = crowd.grow_to(*count);
        sleep(SETTLE);
        let ffmpegs = server.ffmpegs();
        let ffmpeg_cpu = || ffmpegs.iter().map(|pid| cpu_of(*pid)).sum::<f64>();
        let before = ffmpeg_cpu();
        let (usage, heard) = crowd.during(|| Usage::of(server.pid(), WINDOW));
        // One that ends meanwhile (the tower tries its encoder out at the start) is left out.
        let ffmpeg_cpu = (ffmpeg_cpu() - before).max(0.0) / WINDOW.as_secs_f64();
        assert_eq!(heard.wrong, [""; 0], "{}", server.name());
        // Icecast leaves some unconnected for longer than anybody waits: the table tells.
        let all = heard.listening == *count || matches!(server, Server::Icecast(..));
        assert!(all && heard.lost == 0, "{} with {count}: {come:?}, {heard:?}", server.name());
        let joins = (*count == 0 || *count == JOINED_WITH).then(|| Joins::of(server.port()));
        println!("  {} with {count}: {:.4} CPU s/s, {heard:?}", server.name(), usage.cpu);
        table.entry((server.name(), *count)).or_default().push(Figures { usage, ffmpeg_cpu, heard, joins });
    }
}

fn median(figures: &[Figures], of: impl Fn(&Figures) -> f64) -> f64 {
    let mut values: Vec<f64> = figures.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// CPU seconds a second of what the listeners cost, beyond what the program takes without any.
fn fan_out(table: &Table, name: &'static str, count: usize) -> f64 {
    let cpu = |count| median(&table[&(name, count)], |figures| figures.usage.cpu);
    cpu(count) - cpu(0)
}

#[allow(clippy::cast_precision_loss)] // some thousands
fn print_cost(table: &Table) {
    println!(
        "| program | listeners | of them heard | CPU s/s | of it for listeners | to the floor's | FFmpeg CPU s/s | memory each, B \
         | longest gap, ms | first audio when {} a second come, ms p50, max | crowd away, ms |",
        crowds::PER_SEC
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for ((name, count), figures) in table {
        let of = |value: fn(&Figures) -> f64| median(figures, value);
        let alone = median(&table[&(*name, 0)], |figures| figures.usage.anonymous_kib as f64);
        let each = (of(|f| f.usage.anonymous_kib as f64) - alone) * 1024.0 / (*count).max(1) as f64;
        let fan_out = fan_out(table, name, *count);
        let gap = figures.iter().map(|f| f.heard.gap_ms).max().unwrap_or(0);
        let away = figures.iter().map(|f| f.heard.away_ms).max().unwrap_or(0);
        println!(
            "| {name} | {count} | {:.0} | {:.4} | {fan_out:.4} | {:.2} | {:.4} | {each:.0} | {gap} | {:.0}, {:.0} | {away} |",
            of(|f| f.heard.listening as f64),
            of(|f| f.usage.cpu),
            fan_out / self::fan_out(table, "floor", *count),
            of(|f| f.ffmpeg_cpu),
            of(|f| f.heard.first_ms_p50 as f64),
            of(|f| f.heard.first_ms_max as f64),
        );
    }
}

fn print_joins(table: &Table) {
    println!("\n| program | listeners | first audio ms p50, max, joining one by one | begins with a frame |");
    println!("| --- | --- | --- | --- |");
    for ((name, count), figures) in table {
        let joins: Vec<&Joins> = figures.iter().filter_map(|figures| figures.joins.as_ref()).collect();
        if !joins.is_empty() {
            let all = Joins::all(&joins);
            println!(
                "| {name} | {count} | {:.1}, {:.1} | {} of {} |",
                all.p50_ms(),
                all.max_ms(),
                all.framed,
                all.first_ms.len()
            );
        }
    }
}

/// What is promised of it.
#[allow(clippy::cast_precision_loss)]
fn judge(table: &Table) {
    let mut missed = Vec::new();
    let mut goal = |what: String, value: f64, most: f64| {
        println!("{} {what}: {value:.2}, goal {most:.2}", if value <= most { "kept " } else { "MISSED" });
        if value > most {
            missed.push(what);
        }
    };
    for count in [1000, 4000] {
        let tower = fan_out(table, "tower", count);
        goal(format!("{count} listeners, CPU to the floor's"), tower / fan_out(table, "floor", count), 1.2);
        if table.contains_key(&("icecast", count)) {
            goal(format!("{count} listeners, CPU to Icecast's"), tower / fan_out(table, "icecast", count), 0.5);
        }
        let anonymous = |count| median(&table[&("tower", count)], |figures| figures.usage.anonymous_kib as f64);
        goal(format!("{count} listeners, KiB each"), (anonymous(count) - anonymous(0)) / count as f64, 2.0);
    }
    for count in [0, JOINED_WITH] {
        let joins =
            |name| Joins::all(&table[&(name, count)].iter().filter_map(|f| f.joins.as_ref()).collect::<Vec<_>>());
        let (tower, floor) = (joins("tower"), joins("floor"));
        goal(format!("with {count} connected, first audio to the floor's"), tower.p50_ms() / floor.p50_ms(), 2.0);
        assert_eq!(tower.framed, tower.first_ms.len(), "the first byte is a frame's");
    }
    if !missed.is_empty() {
        println!("\nmissed: {}", missed.join("; "));
        std::process::exit(1);
    }
}

/// What a batch costs, and what it delays.
fn batches() {
    let mut table: BTreeMap<(usize, u64), Vec<Figures>> = BTreeMap::new();
    for round in 1..=BATCH_ROUNDS {
        println!("round {round} of {BATCH_ROUNDS}");
        for batch_ms in BATCHES_MS {
            let mut figures = Table::new();
            measure(Server::tower(batch_ms), &CROWDS, &mut figures);
            for ((_, count), figures) in figures {
                table.entry((count, batch_ms)).or_default().extend(figures);
            }
        }
    }
    println!("\n| listeners | batch ms | CPU s/s | of it for listeners | µs each, a second | longest gap ms |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for ((count, batch_ms), figures) in table.iter().filter(|((count, _), _)| *count > 0) {
        let cpu = median(figures, |figures| figures.usage.cpu);
        let fan_out = cpu - median(&table[&(0, *batch_ms)], |figures| figures.usage.cpu);
        let gap = figures.iter().map(|f| f.heard.gap_ms).max().unwrap_or(0);
        #[allow(clippy::cast_precision_loss)]
        let each_us = fan_out * 1e6 / *count as f64;
        println!("| {count} | {batch_ms} | {cpu:.4} | {fan_out:.4} | {each_us:.0} | {gap} |");
    }
}

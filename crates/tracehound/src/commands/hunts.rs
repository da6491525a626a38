use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use serde_json::Value;
use tracehound_query::TimeRange;
use tracehound_query::hunts::{self, Hunt};

use super::asking;
use crate::backend::{Backend, now_ns};
use crate::cli::{HuntsArgs, HuntsCommand, HuntsRunArgs, OutputArgs};
use crate::failure::Failure;
use crate::output;
use crate::place::Place;
use crate::terminal::Output;

/// Lists, shows and runs hunts. The library is this binary's own, also when a server answers.
pub(crate) async fn run(args: HuntsArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        HuntsCommand::List { output } => list(output),
        HuntsCommand::Show { name } => show(find(&name)?),
        HuntsCommand::Run(args) => run_one(*args).await,
    }
}

fn find(name: &str) -> Result<&'static Hunt, Failure> {
    hunts::get(name).map_err(|error| Failure::query(&error, "").hint("`tracehound hunts list` names them all"))
}

fn list(args: OutputArgs) -> anyhow::Result<ExitCode> {
    let row = |hunt: &Hunt| {
        let texts = [hunt.name.clone(), hunt.title.clone(), hunt.attack.join(", ")];
        texts.into_iter().map(Value::String).collect()
    };
    output::write_list(&["name", "title", "attack"], hunts::list().iter().map(row).collect(), args.output)?;
    Ok(ExitCode::SUCCESS)
}

fn show(hunt: &Hunt) -> anyhow::Result<ExitCode> {
    let mut text = format!("-- {}: {}\n", hunt.name, hunt.title);
    let mut line = |name: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "-- {name:<8} {value}");
    };
    line("finds", &hunt.finds);
    line("why", &hunt.why);
    line("attack", &hunt.attack.join(", "));
    line("window", &format!("the last {}, unless --from says otherwise", hunt.window));
    for parameter in &hunt.parameters {
        let default =
            parameter.default.as_ref().map_or("required".to_owned(), |default| format!("default {default:?}"));
        line("-p", &format!("{}={} ({default}): {}", parameter.name, parameter.kind.as_str(), parameter.help));
    }
    line("benign", &hunt.benign);
    line("next", &hunt.next);
    text.push('\n');
    text.push_str(hunt.sql.trim_end());
    text.push('\n');
    let mut out = Output::new();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

async fn run_one(args: HuntsRunArgs) -> anyhow::Result<ExitCode> {
    let hunt = find(&args.name)?;
    let place = Place::choose(&args.place)?;
    let now_ns = now_ns();
    let mut request = asking::request(hunt.sql.clone(), &args.asking);
    let params = asking::params(&args.asking)?;
    request.params = hunt.bind(&params).map_err(|error| {
        Failure::query(&error, "").hint(format!("`tracehound hunts show {}` tells its parameters", hunt.name))
    })?;
    let range = asking::time_range(&args.asking, now_ns)?;
    let window = TimeRange { from_ns: now_ns.saturating_sub(hunt.window_ns), to_ns: now_ns };
    request.time_range = Some(range.unwrap_or(window));
    request.as_of = asking::as_of(args.as_of.as_deref(), now_ns)?;
    let backend = Backend::open(place).await?;
    asking::answer(backend, request, false, &args.asking, args.fail_on_rows).await
}

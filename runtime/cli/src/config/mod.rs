//! The host's configuration: flag, then `AMENDS_*`, then file, then default. It knows no clap and opens no socket.

mod tables;

mod bounds;

mod injected;

mod units;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

pub use self::{
    tables::{Config, Guest, Limits, LogFormat, Retention, Server, Store},
    units::{Size, Span},
};

/// The settings of the command line, which override all others.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// The data folder.
    pub data: Option<PathBuf>,
    /// The folder of secrets.
    pub secrets: Option<PathBuf>,
    /// The address to listen on.
    pub listen: Option<String>,
    /// The configuration file.
    pub file: Option<PathBuf>,
    /// How the log is written.
    pub log_format: Option<LogFormat>,
}

/// A fault of the configuration, its place, and the remedy.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

/// A configuration, and warnings about its sources.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Warnings about ignored variables.
    pub warnings: Vec<String>,
}

/// Builds the configuration. `environment` is the environment of the process.
pub fn load(flags: &Flags, environment: impl Iterator<Item = (String, String)>) -> Result<Loaded, ConfigError> {
    let mut table = match &flags.file {
        Some(path) => read(path)?,
        None => Table::new(),
    };
    let known = known()?;
    let mut warnings = Vec::new();
    for (name, value) in environment {
        warnings.extend(set_from_environment(&mut table, &known, &name, &value)?);
    }
    let mut set = |section: &str, key: &str, value: Option<String>| {
        if let Some(value) = value {
            put(&mut table, section, key, Value::String(value));
        }
    };
    set("store", "data", flags.data.as_ref().map(|path| path.display().to_string()));
    set("guest", "secrets", flags.secrets.as_ref().map(|path| path.display().to_string()));
    set("server", "listen", flags.listen.clone());
    set("server", "log_format", flags.log_format.map(|format| format.as_str().to_owned()));
    let read = table.try_into();
    let config: Config = read.map_err(|error: toml::de::Error| ConfigError(format!("bad configuration: {}", error.message())))?;
    bounds::check(&config).map_err(|what| ConfigError(format!("bad configuration: {what}")))?;
    Ok(Loaded { config, warnings })
}

fn read(path: &Path) -> Result<Table, ConfigError> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| ConfigError(format!("cannot read configuration {shown}: {error}")))?;
    parse(&text).map_err(|ConfigError(what)| ConfigError(format!("bad configuration {shown}, {what}")))
}

/// The file is checked alone, before other sources override it, so that an error can name the line.
fn parse(text: &str) -> Result<Table, ConfigError> {
    let at = |error: toml::de::Error| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        ConfigError(format!("line {line}: {}", error.message()))
    };
    let table: Table = text.parse().map_err(at)?;
    let known = known()?;
    for (section, keys) in &table {
        let Some(Value::Table(known_keys)) = known.get(section) else {
            return Err(unknown("table", &format!("[{section}]"), section, &known));
        };
        let Value::Table(keys) = keys else {
            return Err(ConfigError(format!("`{section}` is a table; write [{section}] and its keys below")));
        };
        if let Some(key) = keys.keys().find(|key| !known_keys.contains_key(*key)) {
            return Err(unknown("key", &format!("`{key}` in [{section}]"), key, known_keys));
        }
    }
    toml::from_str::<Config>(text).map_err(at)?;
    Ok(table)
}

fn unknown(what: &str, shown: &str, name: &str, known: &Table) -> ConfigError {
    let near = |candidate: &str| strsim::jaro_winkler(candidate, name);
    let nearest = known.keys().max_by(|a, b| near(a).total_cmp(&near(b)));
    let remedy = match nearest.filter(|nearest| near(nearest) > 0.7) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("there are {}", known.keys().map(String::as_str).collect::<Vec<_>>().join(", ")),
    };
    ConfigError(format!("unknown {what} {shown}; {remedy}"))
}

/// Every table and key, with its default.
fn known() -> Result<Table, ConfigError> {
    Table::try_from(Config::default()).map_err(|error| ConfigError(format!("bad defaults: {error}")))
}

/// `AMENDS_GUEST_MEMORY=64MiB` is `memory` in `[guest]`. Other variables are ignored, and an empty one counts as not set.
/// Returns a warning about a variable that looks like a setting and is none.
fn set_from_environment(table: &mut Table, known: &Table, name: &str, value: &str) -> Result<Option<String>, ConfigError> {
    let Some(rest) = name.strip_prefix("AMENDS_").map(str::to_ascii_lowercase).filter(|_| !value.is_empty()) else {
        return Ok(None);
    };
    let Some((section, key)) = rest.split_once('_') else { return Ok(None) };
    let Some(Value::Table(keys)) = known.get(section) else { return Ok(None) };
    let bad = |what: &str| ConfigError(format!("bad environment: {name}=\"{}\" is no {what}", value.escape_debug()));
    let value = match keys.get(key) {
        None if injected::is_injected(key, value) => {
            return Ok(Some(format!(
                "{name} is passed over: it is what a cluster or a container engine sets for a service of this name"
            )));
        }
        None => {
            let ConfigError(what) = unknown("key", &format!("`{key}` of [{section}]"), key, keys);
            return Err(ConfigError(format!("bad environment: {name} names {what}")));
        }
        Some(Value::Integer(_)) => Value::Integer(value.parse().map_err(|_| bad("whole number"))?),
        Some(Value::Boolean(_)) => Value::Boolean(value.parse().map_err(|_| bad("true or false"))?),
        Some(Value::Array(_)) => {
            let items = value.split(',').map(str::trim).filter(|item| !item.is_empty());
            Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
        }
        Some(_) => Value::String(value.to_owned()),
    };
    put(table, section, key, value);
    Ok(None)
}

fn put(table: &mut Table, section: &str, key: &str, value: Value) {
    let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(keys) = section {
        keys.insert(key.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(file: &str, environment: &[(&str, &str)], flags: Flags) -> Result<Loaded, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("amends.toml");
        fs::write(&path, file).unwrap();
        let flags = Flags { file: Some(path.clone()), ..flags };
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        load(&flags, environment).map_err(|error| error.to_string().replace(&path.display().to_string(), "amends.toml"))
    }

    fn error(file: &str, environment: &[(&str, &str)]) -> String {
        loaded(file, environment, Flags::default()).unwrap_err()
    }

    #[test]
    fn a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default() {
        let file = "[server]\nlisten = \"127.0.0.1:1\"\nhosts = [\"a\"]\n[store]\ndata = \"/file\"\ncache = \"1GiB\"\n[guest]\ncpu = \"2s\"";
        let environment = [
            ("AMENDS_SERVER_LISTEN", "127.0.0.1:2"),
            ("AMENDS_STORE_DATA", "/environment"),
            ("AMENDS_GUEST_IN_FLIGHT", "7"),
            ("AMENDS_SERVER_HOSTS", "b, c"),
            ("AMENDS_HOST", "http://elsewhere"),
            ("AMENDS_GUEST_MEMORY", ""),
            ("PATH", "/bin"),
        ];
        let flags = Flags { data: Some("/flag".into()), ..Flags::default() };
        let config = loaded(file, &environment, flags).unwrap().config;
        assert_eq!(config.store.data, PathBuf::from("/flag"));
        assert_eq!(config.server.listen, "127.0.0.1:2");
        assert_eq!(config.server.hosts, ["b", "c"]);
        assert_eq!(config.store.cache.bytes(), 1 << 30);
        assert_eq!((config.guest.in_flight, config.guest.cpu.ms()), (7, 2_000));
        assert_eq!(config.guest.memory.bytes(), 64 << 20);
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_the_nearest() {
        assert_eq!(
            error("[guest]\nmemroy = \"1GiB\"", &[]),
            "bad configuration amends.toml, unknown key `memroy` in [guest]; did you mean `memory`?"
        );
        assert_eq!(error("[gest]\n", &[]), "bad configuration amends.toml, unknown table [gest]; did you mean `guest`?");
        assert_eq!(
            error("[retention]\nzzz = 1", &[]),
            "bad configuration amends.toml, unknown key `zzz` in [retention]; there are events"
        );
        assert_eq!(
            error("", &[("AMENDS_GUEST_MEMROY", "1GiB")]),
            "bad environment: AMENDS_GUEST_MEMROY names unknown key `memroy` of [guest]; did you mean `memory`?"
        );
    }

    /// Hints named keys of other tables, and keys that there were never: who followed them had a host that did not start.
    #[test]
    fn every_setting_that_a_hint_names_exists() {
        let known = known().unwrap();
        let hints = named_settings(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
        assert!(hints.len() >= 10, "{hints:?}");
        for (key, section) in hints {
            let keys = known.get(&section).and_then(Value::as_table);
            assert!(keys.is_some_and(|keys| keys.contains_key(&key)), "`{key}` in [{section}]");
        }
    }

    /// All of the form "`key` in [section]" in the sources of this folder, but for the tests of bad ones here.
    fn named_settings(folder: &Path) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() && entry.file_name() != Some("config".as_ref()) {
                found.extend(named_settings(&entry));
            } else if entry.extension() == Some("rs".as_ref()) {
                let text = fs::read_to_string(&entry).unwrap();
                let named = text.match_indices("` in [").filter_map(|(at, mark)| {
                    let (_, key) = text[..at].rsplit_once('`')?;
                    let (section, _) = text[at + mark.len()..].split_once(']')?;
                    Some((key.to_owned(), section.to_owned()))
                });
                found.extend(named);
            }
        }
        found
    }

    #[test]
    fn a_bad_value_is_an_error_that_names_the_line_and_the_form() {
        assert_eq!(
            error("[guest]\n\nmemory = \"much\"", &[]),
            "bad configuration amends.toml, line 3: \"much\" is no size; write it as 64MiB"
        );
        assert_eq!(
            error("[guest]\ncpu = 5", &[]),
            "bad configuration amends.toml, line 2: invalid type: integer `5`, expected a duration as 30s"
        );
        assert_eq!(
            error("[guest]\ncpu = \"5\"", &[]),
            "bad configuration amends.toml, line 2: \"5\" is no duration; write it as 30s"
        );
        assert_eq!(error("", &[("AMENDS_GUEST_CPU", "x")]), "bad configuration: \"x\" is no duration; write it as 30s");
        assert_eq!(
            error("", &[("AMENDS_GUEST_IN_FLIGHT", "x")]),
            "bad environment: AMENDS_GUEST_IN_FLIGHT=\"x\" is no whole number"
        );
        assert!(error("server = 1", &[]).ends_with("`server` is a table; write [server] and its keys below"));
        assert!(error("[server", &[]).starts_with("bad configuration amends.toml, line 1: "));
    }

    /// A cluster gives each pod variables about the services beside it, a container engine about linked containers. Of a service
    /// called `amends-server` they begin as the settings of `[server]` do, and the host ended with 2. The kind: names that others
    /// choose. What has the form of such a variable is passed over, with a warning; a typing error is still one.
    #[test]
    fn c2_07_variables_that_a_cluster_sets_are_passed_over_with_a_warning() {
        let injected = [
            ("AMENDS_SERVER_SERVICE_HOST", "10.96.0.10"),
            ("AMENDS_SERVER_SERVICE_PORT", "8420"),
            ("AMENDS_SERVER_SERVICE_PORT_HTTP", "8420"),
            ("AMENDS_SERVER_PORT", "tcp://10.96.0.10:8420"),
            ("AMENDS_SERVER_PORT_8420_TCP", "tcp://10.96.0.10:8420"),
            ("AMENDS_SERVER_PORT_8420_TCP_PROTO", "tcp"),
            ("AMENDS_SERVER_PORT_8420_TCP_PORT", "8420"),
            ("AMENDS_SERVER_PORT_8420_TCP_ADDR", "10.96.0.10"),
            ("AMENDS_STORE_BACKUP_SERVICE_HOST", "10.96.0.11"),
            ("AMENDS_STORE_BACKUP_PORT_53_UDP_ADDR", "10.96.0.11"),
            ("AMENDS_GUEST_NAME", "/web/amends-guest"),
            ("AMENDS_GUEST_ENV_PATH", "/bin"),
        ];
        let loaded = loaded("", &injected, Flags::default()).unwrap();
        assert_eq!(loaded.config, Config::default());
        assert_eq!(loaded.warnings.len(), injected.len(), "{:?}", loaded.warnings);
        assert_eq!(
            loaded.warnings[0],
            "AMENDS_SERVER_SERVICE_HOST is passed over: it is what a cluster or a container engine sets for a service of this name"
        );
        for typed in [("AMENDS_SERVER_PORT", "8420"), ("AMENDS_SERVER_HOST", "10.96.0.10"), ("AMENDS_GUEST_NAME", "x")] {
            assert!(error("", &[typed]).contains("names unknown key"), "{typed:?}");
        }
    }

    /// With `in_flight = 0` a host started, said that it was ready, and ran nothing. The kind: a number that no host can work
    /// with. Every setting that is a number, a size or a duration has a row with its least and its greatest value.
    #[test]
    fn c2_10_every_number_has_a_least_and_a_greatest_value() {
        let bounded: Vec<_> =
            bounds::table(&Config::default()).iter().map(|row| format!("{}.{}", row.section, row.key)).collect();
        let mut unbounded = Vec::new();
        for (section, keys) in known().unwrap() {
            for (key, value) in keys.as_table().unwrap() {
                let text = value.as_str().unwrap_or_default();
                let is_number =
                    value.is_integer() || text.parse::<bytesize::ByteSize>().is_ok() || humantime::parse_duration(text).is_ok();
                let name = format!("{section}.{key}");
                match bounded.contains(&name) {
                    true => assert!(is_number, "{name}"),
                    false => unbounded.push(name),
                }
            }
        }
        assert_eq!(unbounded, ["guest.secrets", "server.hosts", "server.listen", "server.log_format", "store.data"]);
    }

    #[test]
    fn c2_10_zero_and_absurd_settings_are_refused() {
        let refused = |name: &str, value: &str| {
            let error = error("", &[(name, value)]);
            error.strip_prefix("bad configuration: ").unwrap_or_else(|| panic!("{error}")).to_owned()
        };
        assert_eq!(refused("AMENDS_GUEST_IN_FLIGHT", "0"), "`in_flight` in [guest] is 0, and the least is 1");
        assert_eq!(
            refused("AMENDS_STORE_FREE_MIN_PERCENT", "101"),
            "`free_min_percent` in [store] is 101, and the greatest is 100"
        );
        assert_eq!(refused("AMENDS_LIMITS_PAYLOAD", "0"), "`payload` in [limits] is 0B, and the least is 1KiB");
        assert_eq!(refused("AMENDS_GUEST_CPU", "0s"), "`cpu` in [guest] is 0s, and the least is 10ms");
        assert_eq!(refused("AMENDS_SERVER_DRAIN", "2days"), "`drain` in [server] is 2days, and the greatest is 1day");
        assert_eq!(
            refused("AMENDS_GUEST_MEMORY_TOTAL", "32MiB"),
            "`memory_total` in [guest] is 32MiB for all attempts, and one alone may have 64MiB (`memory`)"
        );
        assert_eq!(
            refused("AMENDS_LIMITS_PAYLOAD", "128MiB"),
            "`journal` in [limits] is 64MiB for a whole saga, and its input alone may have 128MiB (`payload`)"
        );
        for nothing in [("AMENDS_GUEST_MEMORY_TOTAL", "0"), ("AMENDS_STORE_FREE_MIN", "0"), ("AMENDS_SERVER_DRAIN", "0s")] {
            assert!(loaded("", &[nothing], Flags::default()).is_ok(), "{nothing:?} turns something off");
        }
        // In the file the same holds.
        assert!(error("[limits]\nsteps = 0", &[]).ends_with("`steps` in [limits] is 0, and the least is 1"));
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let flags = Flags { file: Some("/no/such/amends.toml".into()), ..Flags::default() };
        let error = load(&flags, std::iter::empty()).unwrap_err().to_string();
        assert!(error.starts_with("cannot read configuration /no/such/amends.toml: "), "{error}");
    }

    #[test]
    fn the_defaults_read_back_as_written() {
        let text = toml::to_string(&Config::default()).unwrap();
        assert_eq!(toml::from_str::<Config>(&text).unwrap(), Config::default());
    }
}

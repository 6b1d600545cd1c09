//! Structured logs by `tracing`: a level for each module, as lines of text or of
//! JSON on standard error.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::{Level, LogConfig, LogFormat};

/// Starts logging for the whole process; once.
///
/// # Errors
/// If the process logs already.
pub fn init(config: &LogConfig) -> Result<(), TryInitError> {
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let layer = match config.format {
        LogFormat::Text => layer.boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(filter(config))).try_init()
}

fn filter(config: &LogConfig) -> Targets {
    let modules = config.modules.iter().map(|(module, level)| (module.clone(), level_filter(*level)));
    Targets::new().with_default(level_filter(config.level)).with_targets(modules)
}

const fn level_filter(level: Level) -> LevelFilter {
    match level {
        Level::Off => LevelFilter::OFF,
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level as Is;

    use super::*;

    #[test]
    fn modules_have_their_own_levels() {
        let mut config = LogConfig::default();
        config.modules.insert("warren::peer".to_owned(), Level::Debug);
        let filter = filter(&config);
        assert!(filter.would_enable("warren::node", &Is::INFO));
        assert!(!filter.would_enable("warren::node", &Is::DEBUG));
        assert!(filter.would_enable("warren::peer::link", &Is::DEBUG));
        assert!(!filter.would_enable("openraft::core", &Is::INFO));
    }
}

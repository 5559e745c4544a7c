//! The station's configuration from settled values, and what does not go together.

use std::path::{Path, PathBuf};

use super::{
    super::{
        MusicConfig, PlayoutConfig, STATION, Schema, StationConfig, TowerLinkConfig, error::ConfigError,
        layers::Layers, places::Places,
    },
    Conflicts, Settings, log_config,
};
use crate::station::rotation::rules::{DayPart, Rules, Weight};

impl Settings for StationConfig {
    const SCHEMA: &'static Schema = &STATION;

    fn build(layers: &Layers, places: &Places) -> Self {
        Self {
            music: MusicConfig {
                folders: layers.texts("music.folders").iter().map(PathBuf::from).collect(),
                rescan_sec: layers.integer("music.rescan_sec"),
            },
            rotation: rules(layers),
            playout: playout(layers),
            tower: TowerLinkConfig {
                socket: places.resolve(layers.text("tower.socket")),
                url: layers.text("tower.url").to_owned(),
            },
            state_dir: places.resolve(layers.text("state.dir")),
            control_socket: places.resolve(layers.text("control.socket")),
            ffmpeg: layers.text("decoder.ffmpeg").into(),
            log: log_config(layers, places),
            runtime_dir: places.runtime.clone(),
        }
    }

    fn conflicts(&self, layers: &Layers) -> Vec<ConfigError> {
        let mut conflicts = Conflicts::of(layers);
        conflicts.check_socket("tower.socket", &self.tower.socket);
        conflicts.check_socket("control.socket", &self.control_socket);
        let theirs = self.control_socket != self.tower.socket;
        conflicts.check(theirs, "control.socket", "tower.socket", "is the tower's socket that takes PCM".into());
        let sockets = [
            ("control.socket", &self.control_socket, "is the socket that takes commands"),
            ("tower.socket", &self.tower.socket, "is the tower's socket that takes PCM"),
        ];
        for (key, socket, what) in sockets {
            conflicts.check(self.log.file != *socket, "log.file", key, what.into());
            conflicts.check(self.state_dir != *socket, "state.dir", key, what.into());
        }
        conflicts.check(self.state_dir != self.log.file, "state.dir", "log.file", "is the log file".into());
        conflicts.found
    }

    fn landmarks(&self) -> Vec<(&'static str, String)> {
        let shown = |path: &Path| path.display().to_string();
        let music: Vec<String> = self.music.folders.iter().map(|folder| shown(folder)).collect();
        vec![
            ("music", if music.is_empty() { "none".into() } else { music.join(", ") }),
            ("PCM to", shown(&self.tower.socket)),
            ("control", shown(&self.control_socket)),
            ("state", shown(&self.state_dir)),
            ("log", shown(&self.log.file)),
        ]
    }

    fn runtime_dir(&self) -> &Path {
        &self.runtime_dir
    }

    fn files(&self) -> Vec<&Path> {
        // The state folder is made with its parents, so it must not make this one first.
        vec![&self.control_socket, &self.log.file, &self.state_dir]
    }

    /// The library remembers files by their path, wherever the station was started.
    fn settle(&mut self) {
        for folder in &mut self.music.folders {
            if let Ok(absolute) = std::path::absolute(&folder) {
                *folder = absolute;
            }
        }
    }
}

/// What the parsers refuse was refused when it was read.
fn rules(layers: &Layers) -> Rules {
    let parsed_weights = layers.texts("rotation.weights").iter().filter_map(|text| Weight::parse(text).ok());
    let parsed_parts = layers.texts("rotation.day_parts").iter().filter_map(|text| DayPart::parse(text).ok());
    Rules {
        title_gap_min: layers.integer("rotation.title_gap_min"),
        artist_gap_songs: layers.integer("rotation.artist_gap_songs"),
        jingle_every_songs: layers.integer("rotation.jingle_every_songs"),
        id_every_songs: layers.integer("rotation.id_every_songs"),
        hour_id: layers.truth("rotation.hour_id"),
        hour_id_window_min: layers.integer("rotation.hour_id_window_min"),
        weights: parsed_weights.collect(),
        day_parts: parsed_parts.collect(),
    }
}

fn playout(layers: &Layers) -> PlayoutConfig {
    PlayoutConfig {
        level: layers.truth("playout.level"),
        target_lufs: layers.decimal("playout.target_lufs"),
        peak_dbtp: layers.decimal("playout.peak_dbtp"),
        crossfade: layers.truth("playout.crossfade"),
        crossfade_max_ms: layers.integer("playout.crossfade_max_sec"),
        sign_off_max_ms: layers.integer("playout.sign_off_max_sec"),
    }
}

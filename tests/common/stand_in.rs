//! An FFmpeg that misbehaves on demand: a shell script that asks, each time it is
//! started, how to behave this time.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// What goes wrong in the middle does so after 60 frames of 384 bytes: within the
/// lead-in of a new encoder, before anything of it is on air.
const SCRIPT: &str = r#"#!/bin/sh
dir=${0%/*}
read -r mode < "$dir/mode"
echo "$mode" >> "$dir/starts"
case $mode in
real) exec ffmpeg "$@" ;;
exits) echo "cannot go on" >&2; exit 3 ;;
crashes) echo "about to crash" >&2; kill -SEGV $$ ;;
never_answers) exec sleep 600 ;;
deaf_to_term) trap '' TERM INT; exec sleep 600 ;;
slow) sleep 0.8; exec ffmpeg "$@" ;;
too_slow) sleep 3; exec ffmpeg "$@" ;;
sluggish) ffmpeg "$@" | (sleep 1; while [ "$(head -c 3840 | tee /dev/fd/3 | wc -c)" = 3840 ]; do sleep 0.23; done) 3>&1 ;;
talkative) (yes "a line of no importance, over and over again" | head -c 10000000 >&2) & exec ffmpeg "$@" ;;
floods_zeros) exec cat /dev/zero ;;
floods_noise) exec cat /dev/urandom ;;
floods_frames) exec ffmpeg -v quiet -f lavfi -i sine=f=1000:r=48000 -ac 2 -c:a libmp3lame -b:a 128k -reservoir 0 \
    -write_xing 0 -id3v2_version 0 -f mp3 pipe:1 ;;
swallows) ffmpeg "$@" | (head -c 23040; head -c 384 > /dev/null; exec cat) ;;
inserts) ffmpeg "$@" | (head -c 23040; printf x; exec cat) ;;
other_rate) ffmpeg "$@" | (head -c 23040; printf '\377\373\124\104'; head -c 188 /dev/zero; exec cat) ;;
closes) exec sleep 600 >&- ;;
deaf) exec sleep 600 <&- ;;
old) for word in "$@"; do
    [ "$word" = -frame_size ] && { echo "Unrecognized option 'frame_size'." >&2; exit 1; }
  done
  exec ffmpeg "$@" ;;
*) echo "no such mode: $mode" >&2; exit 99 ;;
esac
"#;

/// The script in a folder of its own, removed at the end.
pub struct StandIn {
    dir: PathBuf,
}

impl StandIn {
    pub fn new(mode: &str) -> Self {
        let stand_in = Self { dir: super::temp_dir() };
        fs::write(stand_in.path(), SCRIPT).expect("script");
        stand_in.permit(true);
        stand_in.behave(mode);
        stand_in
    }

    /// For `TOWER_FFMPEG`.
    pub fn path(&self) -> PathBuf {
        self.dir.join("ffmpeg.sh")
    }

    /// How it behaves from its next start on.
    pub fn behave(&self, mode: &str) {
        let new = self.dir.join("mode.new");
        fs::write(&new, format!("{mode}\n")).expect("mode");
        fs::rename(new, self.dir.join("mode")).expect("mode");
    }

    /// May be executed, or not.
    pub fn permit(&self, executable: bool) {
        let mode = if executable { 0o755 } else { 0o644 };
        fs::set_permissions(self.path(), fs::Permissions::from_mode(mode)).expect("mode");
    }

    /// There, or not.
    pub fn exist(&self, there: bool) {
        let aside = self.dir.join("aside");
        let (from, to) = if there { (aside, self.path()) } else { (self.path(), aside) };
        fs::rename(from, to).expect("rename");
    }

    /// How it behaved at each start so far.
    pub fn starts(&self) -> Vec<String> {
        let starts = fs::read_to_string(self.dir.join("starts")).unwrap_or_default();
        starts.lines().map(str::to_owned).collect()
    }

    pub fn folder(&self) -> &Path {
        &self.dir
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

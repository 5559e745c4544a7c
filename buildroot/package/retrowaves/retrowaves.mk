################################################################################
#
# retrowaves
#
################################################################################

RETROWAVES_VERSION = 0.1.0
# Buildroot would add the version of its own vendoring to the name.
# check-package disable RemoveDefaultPackageSourceVariable
RETROWAVES_SOURCE = retrowaves-$(RETROWAVES_VERSION).tar.gz
# `make dist` of the project writes the tarball, everything it needs vendored,
# and its hash in retrowaves/retrowaves.hash beside it. RETROWAVES_DIST: where
# a release was downloaded to, if it was not made here.
RETROWAVES_DIST ?= $(BR2_EXTERNAL_RETROWAVES_PATH)/../target/dist
RETROWAVES_SITE = file://$(RETROWAVES_DIST)
RETROWAVES_SITE_METHOD = file
RETROWAVES_LICENSE = MIT or Apache-2.0
RETROWAVES_LICENSE_FILES = LICENSE-MIT LICENSE-APACHE
RETROWAVES_DEPENDENCIES = alsa-lib host-pkgconf

# What is promised about cost was measured with the profile of Cargo.toml, which
# Buildroot's environment would change.
RETROWAVES_CARGO_ENV = \
	CARGO_PROFILE_RELEASE_OPT_LEVEL=3 \
	CARGO_PROFILE_RELEASE_LTO=thin \
	CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1
RETROWAVES_CARGO_BUILD_OPTS = --bins

# The list of what goes where is the project's own: the same as `make install`.
define RETROWAVES_INSTALL_TARGET_CMDS
	DESTDIR=$(TARGET_DIR) PREFIX=/usr \
		$(@D)/scripts/install.sh $(@D)/target/$(RUSTC_TARGET_NAME)/release
endef

define RETROWAVES_USERS
	retrowaves -1 retrowaves -1 * /var/lib/retrowaves - audio Retrowaves
endef

$(eval $(cargo-package))

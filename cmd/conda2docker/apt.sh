#!/bin/sh
# Installs Debian packages, which are the arguments, from the sources that the base has, and removes what it leaves behind: lists, archives
# and logs, which hold the time.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get -q -o APT::Update::Error-Mode=any update
apt-get -q -y --no-install-recommends install -- "$@"
apt-get -q clean
rm -rf /var/lib/apt/lists/* /var/log/apt/* /var/log/dpkg.log /var/log/alternatives.log /var/log/bootstrap.log /var/cache/apt/*.bin \
	/var/cache/ldconfig/aux-cache /var/cache/debconf/*-old /var/lib/dpkg/*-old

#!/bin/sh
# certbot runs this after each renewal (--deploy-hook): the servers read copies, which their group may
# read, and take the new certificate for new connections without a restart.
set -eu
install -m 644 "$RENEWED_LINEAGE/fullchain.pem" /etc/icefloe/tls/fullchain.pem
install -m 640 -g icefloe-tls "$RENEWED_LINEAGE/privkey.pem" /etc/icefloe/tls/privkey.pem
systemctl reload icefloe || true          # SIGHUP; it may not run yet
systemctl kill -s USR2 coturn || true

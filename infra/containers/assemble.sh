#!/bin/sh
# Puts together what the images hold; run by the Dockerfile on Debian, where the programs were built.
#
#   assemble.sh PROFILE IMAGES PROGRAM…
#
# IMAGES/base      what the programs need of the system, and its packages' records, for all images
# IMAGES/PROGRAM   the program and its SBOM
# IMAGES/data      an empty folder, to be given to the user that the images run as
set -eu

profile=$1
images=$2
shift 2
case $profile in
dev) built=${CARGO_TARGET_DIR:-target}/debug ;;
*) built=${CARGO_TARGET_DIR:-target}/$profile ;;
esac
base=$images/base
mkdir -p "$base" "$images/data"

# A file at the path by which programs ask for it, and not as the link that it may be.
put() {
    mkdir -p "$base$(dirname "$1")"
    cp -L "$1" "$base$1"
}

# The package that a file came with; its record may have the path from before /usr was merged.
package_of() {
    if ! { dpkg-query --search "$1" || dpkg-query --search "${1#/usr}" || dpkg-query --search "/usr$1"; } 2>/dev/null; then
        echo "no package has $1" >&2
        return 1
    fi | head -n 1 | cut -d : -f 1
}

libraries=$(for program in "$@"; do ldd "$built/$program"; done | grep -o '/[^ ]*' | sort -u)
packages=$(for library in $libraries; do package_of "$library"; done | sort -u)
for library in $libraries; do put "$library"; done
put /etc/ssl/certs/ca-certificates.crt
put /etc/os-release
packages="$packages ca-certificates base-files"

# One file per package, as in distroless images: scanners read them.
mkdir -p "$base/var/lib/dpkg/status.d"
for package in $packages; do
    dpkg-query --status "$package" >"$base/var/lib/dpkg/status.d/$package"
    put "/usr/share/doc/$package/copyright"
    dpkg-query --show --showformat '${Package} ${Version} ${Architecture}\n' "$package"
done | sort >"$images/packages"

echo 'hosts: files dns' >"$base/etc/nsswitch.conf"
printf 'root:x:0:0:root:/:/none\nparlance:x:65532:65532:parlance:/:/none\n' >"$base/etc/passwd"
printf 'root:x:0:\nparlance:x:65532:\n' >"$base/etc/group"
mkdir "$base/tmp"

for program in "$@"; do
    mkdir -p "$images/$program/usr/share/sbom"
    cp "$built/$program" "$images/$program/$program"
    # Features are those of all programs that were built together.
    cargo --quiet xtask sbom --program "$program" --built-with "$*" --debian "$images/packages" \
        --out "$images/$program/usr/share/sbom/$program.cdx.json"
done

# The same permissions and times, whoever builds and whenever.
chmod -R u=rwX,go=rX "$images"
chmod 1777 "$base/tmp"
find "$images" -exec touch --no-dereference --date "@${SOURCE_DATE_EPOCH:-0}" {} +

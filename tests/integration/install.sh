#!/bin/bash
# Installs the build into a private prefix and uses it as others would: the
# shared library's needs and symbols, programs in C and C++ by pkg-config,
# statically and by CMake, manual pages, completions, units.
# Environment: WAFT_BUILD, WAFT_SOURCE (cmake/WaftTest.cmake).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/usr
lib=$prefix/lib
here=$WAFT_SOURCE/tests/integration/installed
export PKG_CONFIG_PATH=$lib/pkgconfig
unset WAFT_ENDPOINT OTEL_SDK_DISABLED OTEL_TRACES_SAMPLER WAFT_CAPTURE

fail() {
	echo "FAILED: $*" >&2
	exit 1
}

step() {
	echo "--- $*"
}

expect_files() {
	local file
	for file in "$@"; do
		[ -e "$prefix/$file" ] || fail "not installed: $file"
	done
}

step "install"
cmake --install "$WAFT_BUILD" --prefix "$prefix" >"$work/install.log" || fail "$(cat "$work/install.log")"
outside=$(sed -n 's/^-- \(Installing\|Up-to-date\): //p' "$work/install.log" | grep -v "^$prefix/" || true)
[ -z "$outside" ] || fail "installed outside the prefix: $outside"
expect_files lib/lib{waft,waft-viewer,waft-microhttpd}.{so,a} \
	include/waft/{waft,viewer,microhttpd}.h \
	lib/pkgconfig/{waft,waft-viewer,waft-microhttpd}.pc lib/cmake/waft/waftConfig.cmake \
	bin/{waft-collectord,waftctl,waft,waft-engined,waft-decide} \
	share/man/man1/{waftctl,waft-decide}.1 share/man/man8/{waft-collectord,waft-engined}.8 \
	share/bash-completion/completions/{waftctl,waft} \
	share/zsh/site-functions/_waftctl share/fish/vendor_completions.d/{waftctl,waft}.fish \
	lib/systemd/system/waft-collectord.{service,socket} lib/systemd/system/waft-engined.service \
	lib/sysusers.d/waft.conf lib/tmpfiles.d/waft.conf

step "DESTDIR"
DESTDIR=$work/stage cmake --install "$WAFT_BUILD" --prefix /usr >/dev/null
[ -e "$work/stage/usr/bin/waftctl" ] || fail "DESTDIR was not honoured"

step "libwaft.so needs libc and libuuid only"
needed=$(readelf -d "$lib/libwaft.so" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort | tr '\n' ' ')
[ "$needed" = "libc.so.6 libuuid.so.1 " ] || fail "libwaft.so needs: $needed"
readelf -d "$lib/libwaft.so" | grep -q 'SONAME.*\[libwaft\.so\.[0-9]*\]' || fail "no SONAME"

step "only waft_ symbols are exported"
for library in "$lib"/libwaft*.so; do
	others=$(nm -D --defined-only "$library" | awk '$3 !~ /^waft_/ && $3 !~ /^WAFT_[0-9]/ { print $3 }')
	[ -z "$others" ] || fail "$library exports: $others"
done
for library in "$lib"/libwaft*.a; do
	others=$(nm -g --defined-only "$library" | awk 'NF == 3 && $3 !~ /^waft_/ { print $3 }')
	[ -z "$others" ] || fail "$library defines: $others"
done

step "hardening"
for program in "$prefix"/bin/waft*; do
	readelf -h "$program" | grep -q 'Type:.*DYN' || fail "$program is not position-independent"
	readelf -d "$program" | grep -q BIND_NOW || fail "$program is not linked with -z now"
	readelf -lW "$program" | grep -q GNU_RELRO || fail "$program has no RELRO"
done

# run NAME COMMAND...: traces into a directory of its own.
run() {
	local name=$1
	shift
	step "run $name"
	mkdir -p "$work/traces-$name"
	"$@" "$work/traces-$name" || fail "$name exited with $?"
}

step "C and C++ by pkg-config"
cflags=$(pkg-config --cflags waft)
libs=$(pkg-config --libs waft)
# shellcheck disable=SC2086 # flags are words
{
	gcc -std=c11 -Wall -Wextra -Wpedantic -Werror "$here/use.c" $cflags $libs \
		-Wl,-rpath,"$lib" -o "$work/use_c"
	gcc -std=c11 -Wall -Werror "$here/use.c" $cflags "$lib/libwaft.a" \
		$(pkg-config --static --libs waft | sed 's/-lwaft//') -o "$work/use_static"
	g++ -std=c++11 -Wall -Wextra -Werror "$here/use.cc" $cflags $libs \
		-Wl,-rpath,"$lib" -o "$work/use_cxx"
	gcc -std=c11 -Wall -Werror "$here/use_all.c" \
		$(pkg-config --cflags --libs waft-viewer waft-microhttpd) \
		-Wl,-rpath,"$lib" -o "$work/use_all"
}
run c "$work/use_c"
run static "$work/use_static"
run cxx "$work/use_cxx"
run all "$work/use_all"

step "C and C++ by CMake"
cmake -S "$here" -B "$work/cmake" -DCMAKE_PREFIX_PATH="$prefix" >"$work/cmake.log" 2>&1 ||
	fail "$(cat "$work/cmake.log")"
cmake --build "$work/cmake" >"$work/cmake.log" 2>&1 || fail "$(cat "$work/cmake.log")"
run cmake-c "$work/cmake/use_c"
run cmake-cxx "$work/cmake/use_cxx"
run cmake-all "$work/cmake/use_all"

step "the installed waftctl reads what they traced"
for name in c static cxx cmake-c; do
	lines=$("$prefix/bin/waftctl" --store "$work/traces-$name" trace list --json | wc -l)
	[ "$lines" -eq 1 ] || fail "traces-$name lists $lines traces, not 1"
done

step "completions"
bash -n "$prefix/share/bash-completion/completions/waftctl"
zsh -n "$prefix/share/zsh/site-functions/_waftctl"
fish --no-execute "$prefix/share/fish/vendor_completions.d/waftctl.fish"

step "manual pages"
for page in "$prefix"/share/man/man?/*; do
	warnings=$(LC_ALL=C.UTF-8 MANROFFSEQ='' man --warnings -E UTF-8 -l -Tutf8 "$page" 2>&1 >/dev/null)
	[ -z "$warnings" ] || fail "$page: $warnings"
done

step "units"
units=$prefix/lib/systemd/system
wrong=$(systemd-analyze verify --man=no "$units/waft-collectord."{service,socket} \
	"$units/waft-engined.service" 2>&1) || fail "systemd-analyze verify: $wrong"
[ -z "$wrong" ] || fail "systemd-analyze verify: $wrong"
exposure=$(systemd-analyze security --offline=true --threshold=15 \
	"$units/waft-collectord.service") || fail "systemd-analyze security: $(tail -1 <<<"$exposure")"

echo "installed tree is whole"

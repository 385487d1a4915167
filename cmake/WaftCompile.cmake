# Compiler settings that every target of the tree shares.
option(WAFT_WERROR "Warnings are errors" ON)
option(WAFT_HARDEN "Hardening flags; needs an optimised build" OFF)
option(WAFT_FUZZ "Build the fuzzers with libFuzzer; needs clang" OFF)
set(WAFT_SANITIZE "" CACHE STRING "Sanitizers, e.g. address,undefined")

find_program(WAFT_CCACHE ccache)
mark_as_advanced(WAFT_CCACHE)
if(WAFT_CCACHE)
  foreach(language C CXX)
    if(NOT DEFINED CMAKE_${language}_COMPILER_LAUNCHER)
      set(CMAKE_${language}_COMPILER_LAUNCHER ${WAFT_CCACHE})
    endif()
  endforeach()
endif()

add_compile_options(-Wall -Wextra -Wshadow -Wpointer-arith -Wwrite-strings -Wvla -Wformat=2
  -fno-strict-aliasing -fvisibility=hidden
  "$<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes;-Wmissing-prototypes>")
# Messages are cut to their buffer on purpose; gcc warns of it by optimisation
# level, clang not at all.
if(CMAKE_C_COMPILER_ID STREQUAL GNU)
  add_compile_options(-Wno-format-truncation)
endif()
# Call sites and messages name files as they stand in the tree, wherever it was built.
add_compile_options(-fmacro-prefix-map=${CMAKE_SOURCE_DIR}/=)
add_compile_definitions(_GNU_SOURCE)
if(WAFT_WERROR)
  add_compile_options(-Werror)
endif()

if(WAFT_SANITIZE)
  add_compile_options(-fsanitize=${WAFT_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${WAFT_SANITIZE})
endif()

# Every object is instrumented, so that coverage guides the fuzzer into the
# libraries; only the fuzzers themselves are linked with libFuzzer's main.
if(WAFT_FUZZ)
  if(NOT CMAKE_C_COMPILER_ID MATCHES Clang)
    message(FATAL_ERROR "WAFT_FUZZ needs clang: use the preset `fuzz`")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

if(WAFT_HARDEN)
  # Debian's gcc may define _FORTIFY_SOURCE itself, hence the -U.
  add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong
    -fstack-clash-protection -fcf-protection)
  add_link_options(-Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,--as-needed)
  include(CheckPIESupported)
  check_pie_supported(LANGUAGES C)
endif()

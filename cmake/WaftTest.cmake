# How areas register their tests. Each function takes, after its own
# arguments, [LABELS label...] and [TIMEOUT seconds]. Labels that mean
# something to scripts/test:
#   threads  runs under TSan too
#   fuzz     a corpus replayed (set by waft_fuzzer)
#   release  runs on the release build too (installed tree, timing, hardening)

set(WAFT_ONLY_LABEL "" CACHE STRING "Build by default only the tests of this label")

# tests-threads, tests-fuzz: the programs of the tests of a label.
foreach(label threads fuzz)
  add_custom_target(tests-${label})
endforeach()

set(WAFT_TESTS_DIR ${CMAKE_CURRENT_SOURCE_DIR})

function(_waft_test_properties test default_timeout)
  cmake_parse_arguments(arg "" "TIMEOUT" "LABELS;ENVIRONMENT" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT ${default_timeout})
  endif()
  set_tests_properties(${test} PROPERTIES TIMEOUT ${arg_TIMEOUT})
  if(arg_LABELS)
    set_tests_properties(${test} PROPERTIES LABELS "${arg_LABELS}")
  endif()
  if(arg_ENVIRONMENT)
    set_property(TEST ${test} APPEND PROPERTY ENVIRONMENT ${arg_ENVIRONMENT})
  endif()
endfunction()

# Leaves a test's program out of the default target unless it has the label
# that this build is for, and puts it into its label's own.
function(_waft_test_program target)
  cmake_parse_arguments(arg "" "TIMEOUT" "LABELS;ENVIRONMENT" ${ARGN})
  if(WAFT_ONLY_LABEL AND NOT WAFT_ONLY_LABEL IN_LIST arg_LABELS)
    set_target_properties(${target} PROPERTIES EXCLUDE_FROM_ALL ON)
  endif()
  foreach(label IN LISTS arg_LABELS)
    if(TARGET tests-${label})
      add_dependencies(tests-${label} ${target})
    endif()
  endforeach()
endfunction()

# waft_unit_test(<name> <libraries...>): builds unit/test_<name>.c and runs it
# as unit.<name>.
function(waft_unit_test name)
  cmake_parse_arguments(arg "" "TIMEOUT" "LABELS;ENVIRONMENT" ${ARGN})
  add_executable(test_${name} ${WAFT_TESTS_DIR}/unit/test_${name}.c)
  target_link_libraries(test_${name} PRIVATE ${arg_UNPARSED_ARGUMENTS} PkgConfig::CMOCKA)
  target_include_directories(test_${name} PRIVATE ${WAFT_TESTS_DIR})
  _waft_test_program(test_${name} ${ARGN})
  add_test(NAME unit.${name} COMMAND test_${name})
  _waft_test_properties(unit.${name} 120 ${ARGN})
endfunction()

# waft_integration_test(<name> COMMAND <command...>): runs a command, often a
# script, against the real programs as integration.<name>. It sees WAFT_BIN
# (the directory of the executables), WAFT_SOURCE (the root of the tree) and
# WAFT_BUILD (the root of the build).
function(waft_integration_test name)
  cmake_parse_arguments(arg "" "TIMEOUT" "LABELS;ENVIRONMENT;COMMAND" ${ARGN})
  add_test(NAME integration.${name} COMMAND ${arg_COMMAND})
  _waft_test_properties(integration.${name} 300 ${ARGN})
  set_property(TEST integration.${name} APPEND PROPERTY ENVIRONMENT
    "WAFT_BIN=${CMAKE_RUNTIME_OUTPUT_DIRECTORY}"
    "WAFT_SOURCE=${CMAKE_SOURCE_DIR}"
    "WAFT_BUILD=${CMAKE_BINARY_DIR}")
endfunction()

# waft_fuzzer(<name> <libraries...>): builds fuzz/fuzz_<name>.c and replays
# fuzz/corpus/<name>/ as fuzz.<name>. With the preset `fuzz` it is a libFuzzer
# program that scripts/fuzz can run for longer; with the others a small main
# feeds it the corpus, so that every compiler and sanitizer sees these inputs.
function(waft_fuzzer name)
  cmake_parse_arguments(arg "" "TIMEOUT" "LABELS;ENVIRONMENT" ${ARGN})
  set(corpus ${WAFT_TESTS_DIR}/fuzz/corpus/${name})
  add_executable(fuzz_${name} ${WAFT_TESTS_DIR}/fuzz/fuzz_${name}.c)
  target_link_libraries(fuzz_${name} PRIVATE ${arg_UNPARSED_ARGUMENTS})
  target_include_directories(fuzz_${name} PRIVATE ${WAFT_TESTS_DIR})
  _waft_test_program(fuzz_${name} ${ARGN} LABELS fuzz)
  if(WAFT_FUZZ)
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    add_test(NAME fuzz.${name}
      COMMAND ${CMAKE_SOURCE_DIR}/scripts/fuzz --replay $<TARGET_FILE:fuzz_${name}> ${corpus})
  else()
    target_sources(fuzz_${name} PRIVATE ${WAFT_TESTS_DIR}/fuzz/replay_main.c)
    add_test(NAME fuzz.${name} COMMAND fuzz_${name} ${corpus})
  endif()
  _waft_test_properties(fuzz.${name} 120 ${ARGN} LABELS fuzz)
endfunction()

# waft_fuzzer_refusing(<name> <sources...>): builds these files of the code under test
# into fuzz_<name> once more, so that it can refuse them memory (tests/fuzz/refuse.h).
function(waft_fuzzer_refusing name)
  waft_refusing(fuzz_${name} ${ARGN})
endfunction()

# waft_refusing(<target> <sources...>): the same for any target.
function(waft_refusing target)
  list(TRANSFORM ARGN PREPEND ${CMAKE_SOURCE_DIR}/)
  target_sources(${target} PRIVATE ${ARGN} ${WAFT_TESTS_DIR}/fuzz/refuse.c)
  set_source_files_properties(${ARGN} PROPERTIES
    COMPILE_OPTIONS "-include;${WAFT_TESTS_DIR}/fuzz/refuse.h"
    COMPILE_DEFINITIONS WAFT_FUZZ_REFUSING)
endfunction()

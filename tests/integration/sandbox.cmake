# The units' sandboxes, applied to the release build; the sanitizers' own
# system calls are not the services'.
if(NOT WAFT_SANITIZE)
  pkg_check_modules(SECCOMP REQUIRED IMPORTED_TARGET libseccomp)
  add_executable(sandbox_exec ${WAFT_TESTS_DIR}/integration/sandbox_exec.c)
  target_link_libraries(sandbox_exec PRIVATE PkgConfig::SECCOMP)
  waft_integration_test(sandbox
    COMMAND ${CMAKE_CURRENT_LIST_DIR}/sandbox.py
      ${CMAKE_RUNTIME_OUTPUT_DIRECTORY} $<TARGET_FILE:sandbox_exec> ${CMAKE_SOURCE_DIR}/systemd
    LABELS release)
endif()

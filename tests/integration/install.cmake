# The installed tree, as a user of it sees it. A sanitized library needs a
# sanitized program, so this is of the release build alone.
if(NOT WAFT_SANITIZE)
  waft_integration_test(install COMMAND ${CMAKE_CURRENT_LIST_DIR}/install.sh LABELS release)
endif()

waft_fault(remote
  TAKES 60
  ABOUT "no, wrong, expired, removed credentials; a scan of TLS; replays; strangers"
  DEPENDS write_certs waft_tls_module
  COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/remote.py)

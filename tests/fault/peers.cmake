waft_fault(peers
  TAKES 90
  ABOUT "stuck readers, slow frames, half-open peers, 10,000 connections, 64 descriptors"
  COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/peers.py)

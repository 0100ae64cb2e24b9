"""One call of an AWS service, for what no client of the project's own speaks to.

    python aws.py ENDPOINT REGION SERVICE OPERATION < parameters.json > answer.json
"""

import json
import sys

import boto3

endpoint, region, service, operation = sys.argv[1:]
client = boto3.client(
    service, endpoint_url=endpoint, region_name=region, aws_access_key_id="test", aws_secret_access_key="test"
)
answer = getattr(client, operation)(**json.load(sys.stdin))
json.dump(answer, sys.stdout, default=str)

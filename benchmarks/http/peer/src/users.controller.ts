import { Controller, Get, UseGuards } from '@nestjs/common';
import { AuthGuard, UserId } from './auth.guard';
import { UsersService } from './users.service';

@Controller('users')
@UseGuards(AuthGuard)
export class UsersController {
  constructor(private readonly service: UsersService) {}

  @Get('me/stats')
  stats(@UserId() userId: string) {
    return this.service.stats(userId);
  }
}
